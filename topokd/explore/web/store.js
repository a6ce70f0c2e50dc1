// What the panels of one explorer share. Panels listen to the keys that they draw.

export class Store {
  constructor(values) {
    this.values = { ...values };
    this.listeners = [];
  }

  get(key) {
    return this.values[key];
  }

  /** Set values; listeners of the keys that changed run once each. */
  set(changes) {
    const changed = Object.keys(changes).filter((key) => this.values[key] !== changes[key]);
    Object.assign(this.values, changes);
    for (const { keys, listener } of [...this.listeners]) {
      if (keys.some((key) => changed.includes(key))) listener();
    }
  }

  on(keys, listener) {
    this.listeners.push({ keys, listener });
  }

  clear() {
    this.listeners = [];
  }
}
