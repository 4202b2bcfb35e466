"""Names that speakers may have, and texts that are none."""

TAKEN = [
    *("Ada", "Ada Lovelace", "José-María O'Neill Jr.", "x" * 60, "_", "SPEAKER_x", "१२", "7 of 9"),
    *("王小明", "محمد", "مُحَمَّد", "प्रिया", "கமலா", "ณัฐพล", "เพ็ญศรี", "နန္ဒာ", "Trần Thị Mỹ", "Vo\u031eta"),
    *("علی\u200cرضا", "ශ්\u200dරී"),
    *("O’Brien", "Oʼahu", "‘Ali ibn Musa", "'t Hooft", "’s-Gravenhage", "D’Angelo Jr.", "L·lúcia", "约翰·史密斯"),
    *("マリア・カラス", "Jean\u2010Luc", "Anne\u2011Marie", "בן\u05beגוריון", "ג\u05f3ורג\u05f3", "J. R. R. Tolkien"),
]

REFUSED = [
    *("", " Ada", "x" * 61, "SPEAKER_00", "CHANNEL_1", "SPEAKER_१"),
    *(".", "-a", "'", "''a", "·a", "’ a", "a″", "a|b", "a•b", "a/b", "a\\b", "a\u2215b", "a\uff0fb"),
    *("<b>", "a:b", "Ada 😀"),
    *("a\nb", "a\tb", "a\0b", "a\u0085b", "a\u2028b", "\u202ea", "a\u2066b", "a\u200eb", "a\u200b"),
    *("\u0301a", "\u200da", "a\u200d", "\ud800"),
]
