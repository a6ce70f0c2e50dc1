"""Interactive persistence diagrams: clicking a class highlights the simplices that create and kill it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float

from topokd.topology import Persistence, vietoris_rips
from topokd.viz.style import ACCENT, HOMOLOGY, MUTED

SIDE = 500  # pixels of each panel: two fit side by side in JupyterLab
MAX_EDGES = 4000  # drawn at once: browsers are slow with more


@dataclass(frozen=True)
class Cloud:
    """A cloud to explore.

    Attributes:
        points: (n, c) points, which define the topology.
        positions: (n, 2) or (n, 3) positions for drawing; None draws the points themselves.
    """

    points: Float[np.ndarray, "n c"]
    positions: Float[np.ndarray, "n d"] | None = None

    @property
    def drawn(self) -> Float[np.ndarray, "n d"]:
        """Drawing positions: the given ones, or the first (at most three) principal components."""
        if self.positions is not None:
            return self.positions
        if self.points.shape[1] <= 3:
            return self.points
        centred = self.points - self.points.mean(0)
        return centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T


class DiagramExplorer:
    """Choose a cloud, move the scale epsilon, click a class of the diagram.

    Left: the points, the edges no longer than epsilon, and the chosen class: the edge that creates it and the simplex
    that kills it. Right: the persistence diagram; classes alive at epsilon lie in the shaded quadrant. Display
    ``widget`` in a notebook.

    Args:
        clouds: by name.

    Examples:
        >>> angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        >>> explorer = DiagramExplorer({"circle": Cloud(np.stack([np.cos(angle), np.sin(angle)], 1))})
        >>> explorer.select(dim=1, index=0)
        'H1, born at 0.518, ended at 1.732, persistence 1.214: made by edge ..., ended by ...'
    """

    def __init__(self, clouds: dict[str, Cloud]) -> None:
        self.clouds = clouds
        self.choice = widgets.Dropdown(options=list(clouds), description="cloud")
        self.epsilon = widgets.FloatSlider(description="epsilon", min=0.0, max=1.0, step=0.01, readout_format=".3f")
        self.epsilon.layout.width = "60%"
        self.text = widgets.HTML()
        self.space = go.FigureWidget(
            layout={"width": SIDE, "height": SIDE, "margin": {"l": 0, "r": 0, "t": 30, "b": 0}, "showlegend": False}
        )
        self.diagram = go.FigureWidget(
            layout={"width": SIDE, "height": SIDE, "margin": {"l": 50, "r": 10, "t": 30, "b": 45}}
        )
        panels = widgets.HBox(
            [self.space, self.diagram], layout={"flex_flow": "row wrap"}
        )  # below each other if narrow
        self.widget = widgets.VBox([widgets.HBox([self.choice, self.epsilon]), self.text, panels])
        self.choice.observe(lambda _: self.show(), names="value")
        self.epsilon.observe(lambda _: self._draw_edges(), names="value")
        self.show()

    def show(self) -> None:
        """Compute the chosen cloud's persistence and redraw both panels."""
        cloud = self.clouds[self.choice.value]
        self.persistence: Persistence = vietoris_rips(torch.from_numpy(np.asarray(cloud.points, dtype=np.float64)))
        self.distances = np.linalg.norm(cloud.points[:, None] - cloud.points[None], axis=-1)
        scale = max((float(d.max()) for d in self.persistence.diagrams if len(d)), default=1.0)
        self.limit = 1.08 * scale
        with self.space.batch_update():
            self.space.data = ()
            for trace in self._space_traces(cloud.drawn):
                self.space.add_trace(trace)
            self.space.update_layout(title=f"{len(cloud.points)} points in {cloud.points.shape[1]} dimensions")
            self.space.update_yaxes(scaleanchor="x")
            self.space.update_scenes(aspectmode="data")
        self._draw_diagram()
        self.epsilon.max, self.epsilon.step = self.limit, self.limit / 200
        self.epsilon.value = self.limit / 4
        self._draw_edges()
        self.text.value = "Click a class in the diagram."

    def select(self, dim: int, index: int) -> str:
        """Highlight pair ``index`` of H_dim in the left panel; shows and returns a description of it."""
        birth, death = (float(v) for v in self.persistence.diagrams[dim][index])
        maker = self.persistence.birth_simplices[dim][index].tolist()
        ender = self.persistence.death_simplices[dim][index].tolist()
        drawn = self.clouds[self.choice.value].drawn
        closed = [*ender, ender[0]] if len(ender) > 2 else ender
        with self.space.batch_update():
            for trace, vertices in ((self.space.data[2], maker), (self.space.data[3], closed)):
                trace.update(**dict(zip("xyz", drawn[vertices].T, strict=False)))
        made = f"edge {'-'.join(map(str, maker))}" if dim else f"point {maker[0]}"
        words = (
            f"H{dim}, born at {birth:.3f}, ended at {death:.3f}, persistence {death - birth:.3f}: "
            f"made by {made}, ended by {'-'.join(map(str, ender))}"
        )
        self.text.value = words
        self.epsilon.value = (birth + death) / 2
        return words

    def _space_traces(self, drawn: np.ndarray) -> list[go.Scatter | go.Scatter3d]:
        kind = go.Scatter if drawn.shape[1] == 2 else go.Scatter3d
        size = 7 if drawn.shape[1] == 2 else 3
        where = dict(zip("xyz", drawn.T, strict=False))
        nothing: dict[str, list[float]] = {axis: [] for axis in where}
        names = [f"point {i}" for i in range(len(drawn))]
        return [
            kind(**nothing, mode="lines", line={"color": MUTED, "width": 1}, opacity=0.5, hoverinfo="skip"),
            kind(**where, mode="markers", marker={"color": HOMOLOGY[0], "size": size}, text=names, hoverinfo="text"),
            kind(
                **nothing,
                mode="lines+markers",
                line={"color": ACCENT, "width": 6},
                marker={"size": size + 3},
                name="made by",
            ),
            kind(
                **nothing,
                mode="lines+markers",
                line={"color": HOMOLOGY[1], "width": 4},
                marker={"size": size + 1},
                name="ended by",
            ),
        ]

    def _draw_diagram(self) -> None:
        with self.diagram.batch_update():
            self.diagram.data = ()
            line = {"color": MUTED, "dash": "dot"}
            ends = [0, self.limit]
            self.diagram.add_trace(
                go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False, hoverinfo="skip")
            )
            for dim, pairs in enumerate(self.persistence.diagrams):
                values = pairs.detach().numpy()
                self.diagram.add_trace(
                    go.Scatter(
                        x=values[:, 0],
                        y=values[:, 1],
                        mode="markers",
                        name=f"H{dim} ({len(values)})",
                        marker={"color": HOMOLOGY[dim], "size": 9, "opacity": 0.75},
                        hovertemplate=f"H{dim} %{{pointNumber}}<br>birth %{{x:.3f}}<br>death %{{y:.3f}}<extra></extra>",
                    )
                )
                self.diagram.data[-1].on_click(self._clicked(dim))
            self.diagram.update_layout(
                xaxis={"title": "birth", "range": [-0.03 * self.limit, self.limit]},
                yaxis={"title": "death", "range": [-0.03 * self.limit, self.limit]},
                legend={"x": 0.98, "y": 0.02, "xanchor": "right", "yanchor": "bottom"},
                hovermode="closest",
            )

    def _clicked(self, dim: int) -> Callable[..., None]:
        def handler(_trace: object, points: go.callbacks.Points, _state: object) -> None:
            if points.point_inds:
                self.select(dim, points.point_inds[0])

        return handler

    def _draw_edges(self) -> None:
        rows, columns = np.nonzero(np.triu(self.distances <= self.epsilon.value, 1))
        order = np.argsort(self.distances[rows, columns], kind="stable")[:MAX_EDGES]
        drawn = self.clouds[self.choice.value].drawn
        ends = np.stack(
            [drawn[rows[order]], drawn[columns[order]], np.full((len(order), drawn.shape[1]), np.nan)], axis=1
        )
        with self.space.batch_update():
            self.space.data[0].update(**dict(zip("xyz", ends.reshape(-1, drawn.shape[1]).T, strict=False)))
        value = self.epsilon.value
        self.diagram.layout.shapes = [
            {"type": "rect", "x0": 0, "x1": value, "y0": value, "y1": self.limit, "line": {"width": 0},
             "fillcolor": ACCENT, "opacity": 0.15, "layer": "below"}
        ]  # fmt: skip
