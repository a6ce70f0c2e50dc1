// Wide lines, arrows and filled triangles on top of a cloud: the chosen pair, its cycle, the gradient.

import { rgba } from "./data.js";
import { SHADERS, program } from "./shaders.js";

export class Strokes {
  constructor(gl) {
    this.gl = gl;
    this.program = program(gl, SHADERS.strokes);
    this.array = gl.createVertexArray();
    this.buffers = ["a_from", "a_to", "a_color", "a_width"].map((name) => [name, gl.createBuffer()]);
    this.count = 0;
  }

  /** Lines as [from, to, rgba, width] or [from, to, rgba, width at from, width at to], widths in pixels. */
  set(lines) {
    const gl = this.gl, n = lines.length;
    const columns = {
      a_from: new Float32Array(3 * n), a_to: new Float32Array(3 * n), a_color: new Uint8Array(4 * n),
      a_width: new Float32Array(2 * n),
    };
    lines.forEach(([from, to, color, first, last = first], k) => {
      columns.a_from.set(from, 3 * k);
      columns.a_to.set(to, 3 * k);
      columns.a_color.set(color, 4 * k);
      columns.a_width.set([first, last], 2 * k);
    });
    gl.bindVertexArray(this.array);
    for (const [name, handle] of this.buffers) {
      const location = this.program.attributes[name], data = columns[name];
      gl.bindBuffer(gl.ARRAY_BUFFER, handle);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      gl.enableVertexAttribArray(location);
      const bytes = data instanceof Uint8Array;
      gl.vertexAttribPointer(location, data.length / Math.max(n, 1) || 2, bytes ? gl.UNSIGNED_BYTE : gl.FLOAT, bytes, 0, 0);
      gl.vertexAttribDivisor(location, 1);
    }
    gl.bindVertexArray(null);
    this.count = n;
  }

  draw(matrix, width, height, ratio) {
    if (!this.count) return;
    const gl = this.gl, { handle, uniforms } = this.program;
    gl.useProgram(handle);
    gl.uniformMatrix4fv(uniforms.u_matrix, false, matrix);
    gl.uniform2f(uniforms.u_view, width / ratio, height / ratio);
    gl.disable(gl.DEPTH_TEST);
    gl.bindVertexArray(this.array);
    gl.drawArraysInstanced(gl.TRIANGLES, 0, 6, this.count);
    gl.bindVertexArray(null);
  }
}

/** An arrow from `from` along `by` as two strokes: a shaft and a head. */
export function arrow(from, by, color, width) {
  const tip = from.map((value, k) => value + by[k]);
  const neck = from.map((value, k) => value + 0.68 * by[k]);
  return [[from, neck, color, width], [neck, tip, color, 3.2 * width, 0]];
}

/** A filled triangle: strokes cannot fill, so it is a fan of thin lines from one corner to the opposite edge. */
export function fan([a, b, c], color, count = 220) {
  const lines = [];
  for (let k = 0; k <= count; k++) {
    const t = k / count, to = b.map((value, axis) => value * (1 - t) + c[axis] * t);
    lines.push([a, to, color, 0.1, 1.6]);
  }
  return lines;
}
