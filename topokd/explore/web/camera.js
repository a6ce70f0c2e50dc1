// A camera that orbits a target, z up. Views that share a camera turn together.

export class Camera {
  constructor() {
    this.target = [0, 0, 0];
    this.distance = 3;
    this.yaw = -1.1;
    this.pitch = 0.45;
    this.flat = false;
    this.fov = 0.7;
    this.version = 0;
    this.listeners = [];
  }

  /**
   * See all of a cloud: the middle of its box, at a distance where 97 % of the points fill the picture. A sheet, as a street
   * is, is seen from above with its longer side across.
   */
  fit(positions, flat) {
    const n = positions.length / 3;
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < 3 * n; i++) {
      low[i % 3] = Math.min(low[i % 3], positions[i]);
      high[i % 3] = Math.max(high[i % 3], positions[i]);
    }
    this.target = low.map((value, k) => (value + high[k]) / 2);
    const radii = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      radii[i] = Math.hypot(...this.target.map((value, k) => positions[3 * i + k] - value));
    }
    radii.sort();
    const radius = Math.max(flat ? radii[n - 1] : radii[Math.floor(0.97 * (n - 1))], 1e-6);
    this.flat = flat;
    this.distance = (radius * 1.12) / Math.sin(this.fov / 2);
    const [wide, deep, tall] = high.map((value, k) => value - low[k]);
    const sheet = tall < 0.25 * Math.max(wide, deep), across = wide >= deep ? -1.35 : 0.2;
    [this.yaw, this.pitch] = flat ? [-Math.PI / 2, Math.PI / 2] : sheet ? [across, 1] : [-1.1, 0.45];
    this.changed();
  }

  /** Look from `eye` at `target`. */
  look(eye, target) {
    const d = eye.map((value, k) => value - target[k]);
    this.target = [...target];
    this.distance = Math.hypot(...d);
    this.yaw = Math.atan2(d[1], d[0]);
    this.pitch = Math.asin(d[2] / this.distance);
    this.fov = 1.0;
    this.changed();
  }

  changed() {
    this.version += 1;
    for (const listener of this.listeners) listener();
  }

  axes() {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    const back = [cp * cy, cp * sy, sp], right = [-sy, cy, 0];
    const up = [-cy * sp, -sy * sp, cp];
    return { right, up, back };
  }

  /** Projection times view, column by column. */
  matrix(aspect) {
    const { right, up, back } = this.axes();
    const eye = this.target.map((value, k) => value + this.distance * back[k]);
    const f = 1 / Math.tan(this.fov / 2), scale = aspect < 1 ? f * aspect : f;
    const near = this.distance / 200, far = this.distance * 60;
    const a = (far + near) / (near - far), b = (2 * far * near) / (near - far);
    const dot = (u) => -(u[0] * eye[0] + u[1] * eye[1] + u[2] * eye[2]);
    const rows = [
      [...right.map((x) => (x * scale) / aspect), (dot(right) * scale) / aspect],
      [...up.map((x) => x * scale), dot(up) * scale],
      [...back.map((x) => x * a), dot(back) * a + b],
      [...back.map((x) => -x), -dot(back)],
    ];
    const matrix = new Float32Array(16);
    for (let r = 0; r < 4; r++) for (let c = 0; c < 4; c++) matrix[4 * c + r] = rows[r][c];
    return matrix;
  }

  /** Turn by pixels of a picture of this height; a flat cloud moves instead. */
  orbit(dx, dy, height) {
    if (this.flat) return this.pan(dx, dy, height);
    this.yaw -= dx * 0.008;
    this.pitch = Math.min(1.55, Math.max(-1.55, this.pitch + dy * 0.008));
    this.changed();
  }

  pan(dx, dy, height) {
    const { right, up } = this.axes();
    const unit = (2 * this.distance * Math.tan(this.fov / 2)) / height;
    this.target = this.target.map((value, k) => value - unit * (dx * right[k] - dy * up[k]));
    this.changed();
  }

  zoom(factor) {
    this.distance *= factor;
    this.changed();
  }

  /** Mouse, touch and keys on an element; `click(x, y)` for a press without a move. */
  listen(element, click) {
    let last = null, moved = 0;
    element.tabIndex = 0;
    element.addEventListener("pointerdown", (event) => {
      last = [event.clientX, event.clientY];
      moved = 0;
      element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [dx, dy] = [event.clientX - last[0], event.clientY - last[1]];
      last = [event.clientX, event.clientY];
      moved += Math.abs(dx) + Math.abs(dy);
      if (moved < 4) return;
      if (event.shiftKey || event.buttons === 2) this.pan(dx, dy, element.clientHeight);
      else this.orbit(dx, dy, element.clientHeight);
    });
    element.addEventListener("pointerup", (event) => {
      const box = element.getBoundingClientRect();
      if (last && moved < 4) click(event.clientX - box.left, event.clientY - box.top);
      last = null;
    });
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) * 0.002));
    }, { passive: false });
    element.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-12, 0], ArrowRight: [12, 0], ArrowUp: [0, -12], ArrowDown: [0, 12] }[event.key];
      const zoom = { "+": 0.9, "=": 0.9, "-": 1.1 }[event.key];
      if (turn) this.orbit(...turn, element.clientHeight);
      else if (zoom) this.zoom(zoom);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }
}
