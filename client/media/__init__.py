"""Local media files: compression, cutting into parts, clips, and captioned videos."""
