# %% [markdown]
# # A scan, and the topology of its features
# The whole scan with the sampled rows (white): classes, predictions, errors, saliency maps of every stage. Below, the
# features of those rows. A class chosen in the diagram, the barcode or either cloud is highlighted in all of them.

# %% tags=["parameters"]
profile = ""  # empty: the first profile with trained networks
own_scan = ""  # a file: .ply, .bin, .pcd, .las, or .npy (n, 3)
num_points = 256

# %%
from topokd.explore import scene_explorer

# %%
scene_explorer(profile or None, own_scan or None, num_points=num_points)
