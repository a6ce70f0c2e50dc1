# %% [markdown]
# # The topological loss, point by point
# Diagrams of teacher (hollow) and student (filled) in one plot. Each point is matched to the nearest one in the other
# diagram, or to the diagonal (dashed) if that is cheaper: persistence-weighted Chamfer distance, Eq. 2-3. The black
# arrows are -dL/dF, along which the loss moves the student's features (Theorem 1); *step* follows them.

# %% tags=["parameters"]
student, teacher = "", ""  # files with features of the same rows, .npy (n, c); empty: trained networks and shapes
num_points = 256

# %%
from topokd.explore import loss_explorer

# %% [markdown]
# Your own features in one line: `loss_explorer(student, teacher)`, with one row per point; widths may differ.

# %%
loss_explorer(student or None, teacher or None, num_points=num_points)
