# %% [markdown]
# # Interactive persistence diagrams
# Choose a cloud, move epsilon, click a class: the edge that creates it and the simplex that kills it are highlighted.
# These are the critical edges along which the topological loss sends its gradient (Theorem 1).

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
points = 200

# %%
import numpy as np

from topokd import params as P
from topokd.experiments.features import stage_features
from topokd.viz.explorer import Cloud, DiagramExplorer
from topokd.viz.rows import looks

params = P.load(params_file)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Shapes
# A noisy circle has one persistent loop, two circles have two, a Gaussian blob has none.

# %%
angle = rng.uniform(0, 2 * np.pi, points)
circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
pair = np.concatenate([circle[::2], 0.5 * circle[1::2] + [2.0, 0.0]])
clouds = {
    "noisy circle": Cloud(circle + rng.normal(0, 0.08, circle.shape)),
    "two circles": Cloud(pair + rng.normal(0, 0.05, pair.shape)),
    "blob": Cloud(rng.normal(size=(points, 2))),
}

# %% [markdown]
# ## Features of the networks
# Features of teacher and students on the same voxels, sampled as the loss does (Alg. 5). They are drawn at their
# position in the street; their topology is that of the normalised features. Needs the trained networks of the pipeline
# (`make repro`); without them only the shapes are offered.

# %%
for name, look in looks(params).items():
    sampled = stage_features(params, name, points)
    if sampled is not None:
        clouds[f"{look.label}: features"] = Cloud(*sampled)

# %%
explorer = DiagramExplorer(clouds)
explorer.widget
