// Wide lines, arrows and filled triangles on top of a cloud: the chosen pair, its cycle, the gradient.

import { SHADERS, buffer, program } from "./shaders.js";

const CORNERS = 6; // a line is two triangles; repeating it is quicker than instances where the processor draws

export class Strokes {
  constructor(gl) {
    this.gl = gl;
    this.program = program(gl, SHADERS.strokes);
    this.filler = program(gl, SHADERS.fills);
    this.array = gl.createVertexArray();
    this.buffers = ["a_from", "a_to", "a_color", "a_width"].map((name) => [name, gl.createBuffer()]);
    this.count = 0;
    this.fills = [];
  }

  /**
   * Lines as [from, to, rgba, width] or [from, to, rgba, width at from, width at to], widths in pixels; triangles as
   * {corners, color}. A line of no length is a dot as wide as the line.
   */
  set(strokes) {
    const gl = this.gl, lines = strokes.filter(Array.isArray), n = CORNERS * lines.length;
    const columns = {
      a_from: new Float32Array(3 * n), a_to: new Float32Array(3 * n), a_color: new Uint8Array(4 * n),
      a_width: new Float32Array(2 * n),
    };
    for (let k = 0; k < n; k++) {
      const [from, to, color, first, last = first] = lines[Math.floor(k / CORNERS)];
      columns.a_from.set(from, 3 * k);
      columns.a_to.set(to, 3 * k);
      columns.a_color.set(color, 4 * k);
      columns.a_width.set([first, last], 2 * k);
    }
    gl.bindVertexArray(this.array);
    for (const [name, handle] of this.buffers) {
      const location = this.program.attributes[name], data = columns[name];
      gl.bindBuffer(gl.ARRAY_BUFFER, handle);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(location);
      const bytes = data instanceof Uint8Array;
      gl.vertexAttribPointer(location, data.length / Math.max(n, 1) || 2, bytes ? gl.UNSIGNED_BYTE : gl.FLOAT, bytes, 0, 0);
    }
    gl.bindVertexArray(null);
    this.count = n;
    this.fills.forEach((fill) => gl.deleteBuffer(fill.corners));
    this.fills = strokes.filter((one) => one.corners).map(({ corners, color }) => ({
      corners: buffer(gl, new Float32Array(corners.flat())), color: color.map((value) => value / 255),
    }));
  }

  draw(matrix, width, height, ratio) {
    const gl = this.gl, { handle, uniforms } = this.program;
    gl.disable(gl.DEPTH_TEST);
    if (!this.compiled) this.compile(matrix, width, height, ratio);
    this.fills.forEach((fill) => this.fill(fill, matrix));
    if (!this.count) return;
    gl.useProgram(handle);
    gl.uniformMatrix4fv(uniforms.u_matrix, false, matrix);
    gl.uniform2f(uniforms.u_view, width / ratio, height / ratio);
    gl.bindVertexArray(this.array);
    gl.drawArrays(gl.TRIANGLES, 0, this.count);
    gl.bindVertexArray(null);
  }

  /** Draws with both programs what cannot be seen: the first drawing compiles them, and a first choice would wait for that. */
  compile(matrix, width, height, ratio) {
    this.compiled = true;
    const corners = buffer(this.gl, new Float32Array(9));
    this.fill({ corners, color: [0, 0, 0, 0] }, matrix);
    this.gl.deleteBuffer(corners);
    if (this.count) return;
    this.set([[[0, 0, 0], [0, 0, 0], [0, 0, 0, 0], 0]]);
    this.draw(matrix, width, height, ratio);
    this.set([]);
  }

  fill({ corners, color }, matrix) {
    const gl = this.gl, { handle, uniforms, attributes } = this.filler;
    gl.useProgram(handle);
    gl.uniformMatrix4fv(uniforms.u_matrix, false, matrix);
    gl.uniform4fv(uniforms.u_color, color);
    gl.bindVertexArray(null);
    gl.bindBuffer(gl.ARRAY_BUFFER, corners);
    gl.enableVertexAttribArray(attributes.a_position);
    gl.vertexAttribDivisor(attributes.a_position, 0);
    gl.vertexAttribPointer(attributes.a_position, 3, gl.FLOAT, false, 0, 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }
}

/** An arrow from `from` along `by` as two strokes: a shaft and a head. */
export function arrow(from, by, color, width) {
  const tip = from.map((value, k) => value + by[k]);
  const neck = from.map((value, k) => value + 0.68 * by[k]);
  return [[from, neck, color, width], [neck, tip, color, 3.2 * width, 0]];
}
