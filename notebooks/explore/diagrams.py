# %% [markdown]
# # The filtration player
# Edges and triangles enter as the scale grows; components merge, and loops are born and filled. Play it, drag the
# cursor of the barcode, or click a point of the diagram or a bar: the edge that creates the class, the simplex that
# kills it, and a cycle that represents it are highlighted everywhere.

# %% tags=["parameters"]
own_points = ""  # a file: .npy (n, c), or a scan (.ply, .bin, .pcd, .las); empty: shapes and trained networks
num_points = 256

# %%
from topokd.explore import filtration_explorer

# %% [markdown]
# Your own points in one line: `filtration_explorer(array)` for any array or tensor `(n, c)`. `max_dim=2` adds voids.

# %%
filtration_explorer(own_points or None, num_points=num_points)
