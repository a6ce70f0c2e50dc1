// WebGL2 programs. Simplices carry their place in the filtration as depth: see cover.js.

const FETCH = `
uniform highp sampler2D u_positions;
vec3 position_of(uint vertex) {
  int width = textureSize(u_positions, 0).x;
  return texelFetch(u_positions, ivec2(int(vertex) % width, int(vertex) / width), 0).xyz;
}`;

const CODE = `
flat out vec3 v_code;
void place(vec4 at, uint rank) {
  gl_Position = vec4(at.xy, (2.0 * (float(rank) + 0.5) / u_total - 1.0) * at.w, at.w);
  uint code = rank + 1u;
  v_code = vec3(float(code & 255u), float((code >> 8) & 255u), float((code >> 16) & 255u)) / 255.0;
}`;

const HEAD = "#version 300 es\nprecision highp float;\nprecision highp int;\n";

export const SHADERS = {
  edges: [
    `${HEAD}uniform mat4 u_matrix; uniform float u_total; in uint a_vertex;${FETCH}${CODE}
void main() { place(u_matrix * vec4(position_of(a_vertex), 1.0), uint(gl_VertexID / 2)); }`,
    `${HEAD}flat in vec3 v_code; out vec4 color; void main() { color = vec4(v_code, 1.0); }`,
  ],
  triangles: [
    `${HEAD}uniform mat4 u_matrix; uniform float u_total; in uint a_vertex; in uint a_rank;${FETCH}${CODE}
void main() { place(u_matrix * vec4(position_of(a_vertex), 1.0), a_rank); }`,
    `${HEAD}flat in vec3 v_code; out vec4 color; void main() { color = vec4(v_code, 1.0); }`,
  ],
  composite: [
    `${HEAD}void main() { gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0); }`,
    `${HEAD}uniform sampler2D u_edges; uniform sampler2D u_triangles; uniform float u_entered; uniform int u_samples;
uniform vec4 u_edge; uniform vec4 u_fill; uniform vec3 u_new; out vec4 color;
float rank_of(sampler2D codes, ivec2 at) {
  vec3 code = texelFetch(codes, at, 0).rgb * 255.0;
  return floor(code.r + 0.5) + 256.0 * floor(code.g + 0.5) + 65536.0 * floor(code.b + 0.5) - 1.0;
}
void main() {
  vec4 sum = vec4(0.0);
  float triangle = rank_of(u_triangles, ivec2(gl_FragCoord.xy));
  vec4 fill = vec4(0.0);
  if (triangle >= 0.0 && triangle < u_entered) {
    fill = vec4(u_fill.rgb, 1.0) * u_fill.a * (1.0 - 0.55 * triangle / u_entered);
  }
  for (int y = 0; y < u_samples; y++) for (int x = 0; x < u_samples; x++) {
    ivec2 at = ivec2(gl_FragCoord.xy) * u_samples + ivec2(x, y);
    float edge = rank_of(u_edges, at);
    vec4 one = fill;
    if (edge >= 0.0 && edge < u_entered) {
      float fresh = smoothstep(0.9, 1.0, (edge + 1.0) / u_entered);
      one = one * (1.0 - u_edge.a) + vec4(mix(u_edge.rgb, u_new, fresh), 1.0) * u_edge.a;
    }
    sum += one;
  }
  color = sum / float(u_samples * u_samples);
}`,
  ],
  points: [
    `${HEAD}uniform mat4 u_matrix; uniform float u_size; uniform float u_scale; in vec3 a_position; in vec4 a_color;
out vec4 v_color;
void main() {
  gl_Position = u_matrix * vec4(a_position, 1.0);
  gl_PointSize = u_scale > 0.0 ? clamp(u_scale / gl_Position.w, 1.3, 3.5 * u_size) : u_size;
  v_color = a_color;
}`,
    `${HEAD}in vec4 v_color; out vec4 color; uniform float u_ring;
void main() {
  float r = 2.0 * length(gl_PointCoord - 0.5);
  if (r > 1.0) discard;
  vec3 rgb = r > u_ring ? mix(v_color.rgb, vec3(1.0), 0.85) : v_color.rgb;
  color = vec4(rgb * v_color.a, v_color.a);
}`,
  ],
  fills: [
    `${HEAD}uniform mat4 u_matrix; in vec3 a_position; void main() { gl_Position = u_matrix * vec4(a_position, 1.0); }`,
    `${HEAD}uniform vec4 u_color; out vec4 color; void main() { color = vec4(u_color.rgb * u_color.a, u_color.a); }`,
  ],
  strokes: [
    `${HEAD}uniform mat4 u_matrix; uniform vec2 u_view; in vec3 a_from; in vec3 a_to; in vec4 a_color; in vec2 a_width;
out vec4 v_color;
void main() {
  vec4 a = u_matrix * vec4(a_from, 1.0), b = u_matrix * vec4(a_to, 1.0);
  int corner = gl_VertexID % 6;
  bool end = corner == 1 || corner == 2 || corner == 4;
  float side = (corner == 2 || corner == 4 || corner == 5) ? 1.0 : -1.0;
  vec2 along = (b.xy / b.w - a.xy / a.w) * u_view;
  bool dot = a_from == a_to;
  vec2 across = length(along) > 1e-4 ? normalize(vec2(-along.y, along.x)) : vec2(0.0, 1.0);
  vec2 out_by = across * side + (dot ? vec2(end ? 1.0 : -1.0, 0.0) : vec2(0.0));
  vec4 at = end ? b : a;
  gl_Position = at + vec4(out_by * (end ? a_width.y : a_width.x) / u_view * at.w, 0.0, 0.0);
  v_color = a_color;
}`,
    `${HEAD}in vec4 v_color; out vec4 color; void main() { color = vec4(v_color.rgb * v_color.a, v_color.a); }`,
  ],
};

/** Whether WebGL is drawn by the processor: then every pixel is shaded once only. */
export function isSoftware() {
  const gl = document.createElement("canvas").getContext("webgl2"), about = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = gl ? String(gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(name);
}

/** Compile a program; its uniforms and attributes by name. */
export function program(gl, [vertex, fragment]) {
  const handle = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(handle);
  if (!gl.getProgramParameter(handle, gl.LINK_STATUS) && !gl.isContextLost()) {
    const logs = gl.getAttachedShaders(handle).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`the browser cannot compile a WebGL program: ${[gl.getProgramInfoLog(handle), ...logs].join(" ")}`);
  }
  const uniforms = {}, attributes = {};
  for (let k = 0; k < gl.getProgramParameter(handle, gl.ACTIVE_UNIFORMS); k++) {
    const { name } = gl.getActiveUniform(handle, k);
    uniforms[name] = gl.getUniformLocation(handle, name);
  }
  for (let k = 0; k < gl.getProgramParameter(handle, gl.ACTIVE_ATTRIBUTES); k++) {
    const { name } = gl.getActiveAttrib(handle, k);
    attributes[name] = gl.getAttribLocation(handle, name);
  }
  return { handle, uniforms, attributes };
}

/** A buffer with data, for reuse. */
export function buffer(gl, data) {
  const handle = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, handle);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  return handle;
}
