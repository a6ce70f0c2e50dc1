// One WebGL picture: points, the complex at a scale, and strokes on top.

import { rgba } from "./data.js";
import { SHADERS, buffer, isSoftware, program } from "./shaders.js";
import { Cover } from "./cover.js";
import { Strokes } from "./strokes.js";

const PAUSE = 200; // milliseconds after a new scale or choice in which no more simplices are drawn: it is shown first

export class CloudView {
  constructor(parent, { camera, dark = false, onPick = () => {}, label = "" }) {
    this.element = document.createElement("div");
    this.element.className = "tk-view" + (dark ? " tk-dark" : "");
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.element.append(this.canvas);
    parent.append(this.element);
    this.background = dark ? [0.067, 0.082, 0.11, 1] : [1, 1, 1, 1];
    this.camera = camera;
    this.software = isSoftware();
    this.gl = this.canvas.getContext("webgl2", { alpha: false, antialias: !this.software });
    this.entered = 0;
    this.calm = 0; // when the reader is at rest again
    this.show = { edges: true, triangles: true };
    this.sets = [];
    if (!this.gl) {
      this.element.textContent = "This browser offers no WebGL2, so clouds are not drawn; the plots work without.";
      return;
    }
    this.cover = null;
    this.points = program(this.gl, SHADERS.points);
    this.strokes = new Strokes(this.gl);
    this.request = () => {
      if (this.frame === undefined) this.frame = requestAnimationFrame(() => this.draw());
    };
    camera.listeners.push(this.request);
    camera.listen(this.canvas, (x, y) => onPick(this.nearest(x, y)));
    this.observer = new ResizeObserver(this.request);
    this.observer.observe(this.element);
  }

  /** The edges and triangles to draw; null for none. */
  setComplex(cloud) {
    if (!this.gl) return;
    if (cloud && !this.cover) this.cover = new Cover(this.gl, this.software);
    if (cloud) this.cover.load(cloud);
    this.complex = cloud;
    this.covered = null;
    this.request();
  }

  /** Points in the order in which they are drawn: {positions, colors (4 bytes each), size in pixels, metres, pick}. */
  setPoints(sets) {
    if (!this.gl) return;
    const gl = this.gl;
    this.sets.forEach((set) => set.buffers.forEach((one) => gl.deleteBuffer(one)));
    this.sets = sets.map((set) => ({ ...set, buffers: [buffer(gl, set.positions), buffer(gl, set.colors)] }));
    this.keptKey = null;
    this.request();
  }

  /** New colours of one set. */
  setColors(index, colors) {
    if (!this.gl || !this.sets[index]) return;
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.sets[index].buffers[1]);
    gl.bufferData(gl.ARRAY_BUFFER, colors, gl.DYNAMIC_DRAW);
    this.keptKey = null;
    this.request();
  }

  setStrokes(lines) {
    if (!this.gl) return;
    this.strokes.set(lines);
    this.calm = performance.now() + PAUSE;
    this.request();
  }

  setEntered(count) {
    this.entered = count;
    this.calm = performance.now() + PAUSE;
    if (this.gl) this.request();
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2), box = this.element.getBoundingClientRect();
    const width = Math.max(2, Math.round(box.width * ratio)), height = Math.max(2, Math.round(box.height * ratio));
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    return { width, height, ratio };
  }

  draw() {
    this.frame = undefined;
    const gl = this.gl;
    if (gl.isContextLost()) return;
    const { width, height, ratio } = this.resize(), matrix = this.camera.matrix(width / height);
    const key = `${this.camera.version} ${width} ${height}`;
    const complex = this.complex && (this.show.edges || this.show.triangles), rest = this.calm - performance.now();
    if (complex) {
      const turned = this.covered !== key;
      if (turned) this.cover.restart(matrix, width, height);
      this.covered = key;
      if (turned || rest <= 0) this.cover.advance(turned ? 12 : 30);
    }
    gl.viewport(0, 0, width, height);
    gl.clearColor(...this.background);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (complex) { // before an edge has entered too: the first drawing compiles the program
      const shade = rgba(this.complex.color).map((value) => value / 255);
      this.cover.draw(this.entered, {
        edge: [...shade.slice(0, 3).map((value) => 0.5 * value + 0.25), this.show.edges ? 0.5 : 0],
        fill: [...shade.slice(0, 3).map((value) => 0.55 * value + 0.45), this.show.triangles ? 0.55 : 0],
        fresh: [0.88, 0.54, 0.0],
      });
    }
    if (this.software && !this.complex) this.drawKept(key, matrix, width, height, ratio);
    else for (const set of this.sets) this.drawSet(set, matrix, height, ratio);
    this.strokes.draw(matrix, width, height, ratio);
    clearTimeout(this.later);
    if (complex && !this.cover.done) {
      if (rest > 0) this.later = setTimeout(this.request, rest);
      else this.request();
    }
    this.element.dataset.ready = String(!complex || this.cover.done);
  }

  /** Points without a complex, where the processor draws: kept until they or the camera change; strokes alone are quick. */
  drawKept(key, matrix, width, height, ratio) {
    const gl = this.gl;
    if (this.keptKey !== key) {
      this.keptKey = key;
      this.kept ??= { frame: gl.createFramebuffer(), color: gl.createRenderbuffer(), depth: gl.createRenderbuffer() };
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.kept.frame);
      for (const [place, format, buffer] of [
        [gl.COLOR_ATTACHMENT0, gl.RGBA8, this.kept.color], [gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT16, this.kept.depth],
      ]) {
        gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
        gl.renderbufferStorage(gl.RENDERBUFFER, format, width, height);
        gl.framebufferRenderbuffer(gl.FRAMEBUFFER, place, gl.RENDERBUFFER, buffer);
      }
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      for (const set of this.sets) this.drawSet(set, matrix, height, ratio);
    }
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.kept.frame);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  drawSet(set, matrix, height, ratio) {
    const gl = this.gl, { handle, uniforms, attributes } = this.points;
    gl.bindVertexArray(null);
    gl.useProgram(handle);
    gl.uniformMatrix4fv(uniforms.u_matrix, false, matrix);
    gl.uniform1f(uniforms.u_size, set.size * ratio);
    gl.uniform1f(uniforms.u_scale, set.metres ? (set.metres * height) / Math.tan(this.camera.fov / 2) / 2 : 0);
    gl.uniform1f(uniforms.u_ring, set.ring ? 0.72 : 2);
    [[attributes.a_position, 3, gl.FLOAT, false], [attributes.a_color, 4, gl.UNSIGNED_BYTE, true]].forEach(
      ([location, size, type, normalized], k) => {
        gl.bindBuffer(gl.ARRAY_BUFFER, set.buffers[k]);
        gl.enableVertexAttribArray(location);
        gl.vertexAttribDivisor(location, 0);
        gl.vertexAttribPointer(location, size, type, normalized, 0, 0);
      },
    );
    if (set.metres) gl.enable(gl.DEPTH_TEST);
    else gl.disable(gl.DEPTH_TEST);
    gl.drawArrays(gl.POINTS, 0, set.positions.length / 3);
  }

  /** The point of the sets marked `pick` that is drawn nearest to (x, y), within 14 pixels; -1 for none. */
  nearest(x, y) {
    const box = this.canvas.getBoundingClientRect(), m = this.camera.matrix(box.width / box.height);
    let best = -1, least = 14 * 14;
    for (const { positions, pick } of this.sets) {
      if (!pick) continue;
      for (let i = 0; i < positions.length / 3; i++) {
        const [px, py, pz] = positions.subarray(3 * i, 3 * i + 3);
        const w = m[3] * px + m[7] * py + m[11] * pz + m[15];
        if (w <= 0) continue;
        const u = ((m[0] * px + m[4] * py + m[8] * pz + m[12]) / w + 1) * box.width / 2 - x;
        const v = (1 - (m[1] * px + m[5] * py + m[9] * pz + m[13]) / w) * box.height / 2 - y;
        if (u * u + v * v < least) [best, least] = [i, u * u + v * v];
      }
    }
    return best;
  }

  /** The picture as a PNG, with every simplex drawn. */
  png() {
    if (!this.gl) return null;
    this.calm = 0;
    do this.draw();
    while (this.complex && this.element.dataset.ready !== "true");
    return this.canvas.toDataURL("image/png");
  }

  dispose() {
    this.observer?.disconnect();
    clearTimeout(this.later);
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.gl?.getExtension("WEBGL_lose_context")?.loseContext();
    this.element.remove();
  }
}
