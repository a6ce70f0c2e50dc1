"""Scripts that time an explorer inside its page, in milliseconds. benchmarks/explorer.py keeps the numbers."""

SLIDER_STEPS = """() => {  // 20 steps: what each computes and draws, waiting for the drawing but not for the screen
  const app = document.querySelector('.tk-explorer').explorer, slider = document.querySelector('.tk-scale');
  const pixel = new Uint8Array(4), times = [];
  for (let k = 0; k < 20; k++) {
    const start = performance.now();
    slider.value = 100 + 40 * ((7 * k) % 20);
    slider.dispatchEvent(new Event('input'));
    app.panels.views.forEach((view) => {
      cancelAnimationFrame(view.frame);
      view.draw();
      view.gl.readPixels(0, 0, 1, 1, view.gl.RGBA, view.gl.UNSIGNED_BYTE, pixel);
    });
    times.push(performance.now() - start);
  }
  return times;
}"""

CHOICES = """() => {  // 12 classes of degree 1: the pictures respond, and everything is drawn
  const app = document.querySelector('.tk-explorer').explorer, times = [];
  const { values } = app.store.get('scene').clouds[0].pairs[1], pixel = new Uint8Array(4);
  for (let k = 0; k < 12; k++) {
    const start = performance.now();
    app.store.set({ selected: { cloud: 0, dim: 1, index: Math.floor(((values.shape[0] - 1) * k) / 11) } });
    app.panels.views.forEach((view) => {
      cancelAnimationFrame(view.frame);
      view.calm = start + 1000;  // as after a step of the slider
      view.draw();
      view.gl.readPixels(0, 0, 1, 1, view.gl.RGBA, view.gl.UNSIGNED_BYTE, pixel);
    });
    times.push(performance.now() - start);
  }
  return times;
}"""

EVENTS = """() => {  // names of the user's events and milliseconds from each to the next picture on the screen
  window.events = [];
  const keep = (list) => list.getEntries().forEach((event) => window.events.push([event.name, event.duration]));
  new PerformanceObserver(keep).observe({ type: 'event', durationThreshold: 16 });
}"""
