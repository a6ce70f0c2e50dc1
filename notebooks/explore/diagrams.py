# %% [markdown]
# # The filtration player
# Edges and triangles enter as the scale grows; components merge, loops are born and filled. Play it, drag the cursor of
# the barcode, or click a class in the diagram, a bar or a point: the edge that creates the class, the simplex that
# kills it, and a cycle that represents it light up everywhere.

# %% tags=["parameters"]
own_points = ""  # a file: .npy (n, c), or a scan (.ply, .bin, .pcd, .las); empty: shapes, and networks where trained
num_points = 256

# %%
from topokd.explore import filtration_explorer

# %% [markdown]
# Own points in one line: `filtration_explorer(array)` for any array or tensor `(n, c)`. `max_dim=2` adds voids.

# %%
filtration_explorer(own_points or None, num_points=num_points)
