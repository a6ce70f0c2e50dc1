// All edges and triangles of a filtration at once, at every scale.
//
// For one position of the camera, each pixel stores the place in the filtration of the first edge, and of the first
// triangle, that covers it: simplices are drawn with that place as their depth, so the earliest one wins. What has entered at
// a scale is then a comparison per pixel. A step of the slider costs the same for 500 edges and for 500,000. Drawing the
// simplices is spread over several frames, the earliest first.

import { SHADERS, buffer, program } from "./shaders.js";

export class Cover {
  constructor(gl, software) {
    this.gl = gl;
    this.software = software;
    this.programs = { edges: program(gl, SHADERS.edges), triangles: program(gl, SHADERS.triangles) };
    this.composite = program(gl, SHADERS.composite);
    this.empty = gl.createVertexArray();
    this.layers = {};
    this.chunk = { edges: 8192, triangles: 2048 };
    this.total = 0;
  }

  /** Send edges and triangles, once. */
  load(cloud) {
    const gl = this.gl;
    this.release();
    this.total = cloud.lengths.length;
    this.positions = this.texture(cloud.positions);
    const wide = cloud.edges instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
    const ranks = new Uint32Array(3 * cloud.completed_by.length);
    for (let k = 0; k < ranks.length; k++) ranks[k] = cloud.completed_by[(k / 3) | 0];
    this.layers = {
      edges: this.layer("edges", gl.LINES, 2, cloud.lengths.length, { a_vertex: [cloud.edges, wide] }),
      triangles: this.layer("triangles", gl.TRIANGLES, 3, cloud.completed_by.length, {
        a_vertex: [cloud.triangles, wide], a_rank: [ranks, gl.UNSIGNED_INT],
      }),
    };
  }

  texture(positions) {
    const gl = this.gl, n = positions.length / 3, width = Math.min(n, 1024), height = Math.ceil(n / width);
    const texels = new Float32Array(4 * width * height);
    for (let i = 0; i < n; i++) texels.set(positions.subarray(3 * i, 3 * i + 3), 4 * i);
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, texels);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    return texture;
  }

  layer(name, mode, corners, count, columns) {
    const gl = this.gl, array = gl.createVertexArray(), buffers = [];
    gl.bindVertexArray(array);
    for (const [attribute, [data, type]] of Object.entries(columns)) {
      const location = this.programs[name].attributes[attribute];
      buffers.push(buffer(gl, data));
      gl.enableVertexAttribArray(location);
      gl.vertexAttribIPointer(location, 1, type, 0, 0);
    }
    gl.bindVertexArray(null);
    return { name, mode, corners, count, array, buffers, drawn: 0, target: null };
  }

  /** Start over for a matrix and a size in pixels; the old picture is discarded. */
  restart(matrix, width, height) {
    const gl = this.gl;
    this.matrix = matrix;
    this.samples = this.software || width * height > 1.2e6 ? 1 : 2;
    for (const layer of Object.values(this.layers)) {
      const samples = layer.name === "edges" ? this.samples : 1, size = [width * samples, height * samples];
      if (!layer.target || String(layer.target.size) !== String(size)) {
        this.drop(layer);
        layer.target = this.target(size);
      }
      gl.bindFramebuffer(gl.FRAMEBUFFER, layer.target.frame);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      layer.drawn = 0;
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  target(size) {
    const gl = this.gl, color = gl.createTexture(), depth = gl.createRenderbuffer(), frame = gl.createFramebuffer();
    gl.bindTexture(gl.TEXTURE_2D, color);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, ...size);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, ...size);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, color, 0);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
    return { size, color, depth, frame };
  }

  get done() {
    return Object.values(this.layers).every((layer) => layer.drawn >= layer.count);
  }

  /** Draw the next simplices, about `budget` milliseconds of them. */
  advance(budget) {
    const gl = this.gl, start = performance.now();
    for (const layer of Object.values(this.layers)) {
      while (layer.drawn < layer.count && performance.now() - start < budget) {
        const { handle, uniforms } = this.programs[layer.name], began = performance.now();
        const count = Math.min(this.chunk[layer.name], layer.count - layer.drawn);
        gl.bindFramebuffer(gl.FRAMEBUFFER, layer.target.frame);
        gl.viewport(0, 0, ...layer.target.size);
        gl.disable(gl.BLEND);
        gl.enable(gl.DEPTH_TEST);
        gl.depthFunc(gl.LESS);
        gl.useProgram(handle);
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, this.positions);
        gl.uniform1i(uniforms.u_positions, 0);
        gl.uniformMatrix4fv(uniforms.u_matrix, false, this.matrix);
        gl.uniform1f(uniforms.u_total, this.total);
        gl.bindVertexArray(layer.array);
        gl.drawArrays(layer.mode, layer.corners * layer.drawn, layer.corners * count);
        layer.drawn += count;
        gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4)); // waits, so that time can be measured
        const took = performance.now() - began;
        if (took < 4) this.chunk[layer.name] = Math.min(1 << 18, 2 * this.chunk[layer.name]);
        else if (took > 12) this.chunk[layer.name] = Math.max(512, this.chunk[layer.name] >> 1);
      }
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** Draw what has entered with the first `entered` edges. */
  draw(entered, { edge, fill, fresh }) {
    const gl = this.gl, { handle, uniforms } = this.composite;
    gl.useProgram(handle);
    ["edges", "triangles"].forEach((name, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, this.layers[name].target.color);
      gl.uniform1i(uniforms[`u_${name}`], unit);
    });
    gl.uniform1f(uniforms.u_entered, entered);
    gl.uniform1i(uniforms.u_samples, this.samples);
    gl.uniform4fv(uniforms.u_edge, edge);
    gl.uniform4fv(uniforms.u_fill, fill);
    gl.uniform3fv(uniforms.u_new, fresh);
    gl.disable(gl.DEPTH_TEST);
    gl.bindVertexArray(this.empty);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  drop(layer) {
    if (!layer.target) return;
    this.gl.deleteTexture(layer.target.color);
    this.gl.deleteRenderbuffer(layer.target.depth);
    this.gl.deleteFramebuffer(layer.target.frame);
    layer.target = null;
  }

  release() {
    for (const layer of Object.values(this.layers)) {
      this.drop(layer);
      layer.buffers.forEach((one) => this.gl.deleteBuffer(one));
      this.gl.deleteVertexArray(layer.array);
    }
    if (this.positions) this.gl.deleteTexture(this.positions);
    this.layers = {};
  }
}
