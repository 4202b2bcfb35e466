/** Uploads under way. */
class Intake extends EventTarget {
  uploading = null;
}
export const intake = new Intake();
