// What this browser keeps, as JSON by name. Where it may keep nothing (a private window, no room), the page goes on.

class Store {
  #open;

  /** @param {() => Storage} open which throws where the browser allows none. */
  constructor(open) {
    this.#open = open;
  }

  /** @returns {any} null if nothing is kept under this name. */
  get(name) {
    try {
      return JSON.parse(this.#open().getItem(name));
    } catch {
      return null;
    }
  }

  /**
   * @param {string} name
   * @param {any} value null: nothing is kept any longer.
   * @returns {boolean} whether the browser has done so.
   */
  set(name, value) {
    try {
      if (value === null) this.#open().removeItem(name);
      else this.#open().setItem(name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  /** @returns {string[]} */
  names() {
    try {
      return Object.keys(this.#open());
    } catch {
      return [];
    }
  }
}

/** For all visits of this browser. */
export const browserStore = new Store(() => localStorage);

/** For this tab, over reloads. */
export const tabStore = new Store(() => sessionStorage);
