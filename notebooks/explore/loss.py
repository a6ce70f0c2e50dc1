# %% [markdown]
# # The topological loss, point by point
# Diagrams of teacher (hollow) and student (filled) in one plot. Each point goes to its nearest one in the other
# diagram, or to the diagonal (dashed) if that is cheaper: persistence-weighted Chamfer distance, Eq. 2-3. The black
# arrows are -dL/dF, along which the loss pulls the student's features (Theorem 1); *step* follows them.

# %% tags=["parameters"]
student, teacher = "", ""  # files of features of the same rows, .npy (n, c); empty: networks where trained, and shapes
num_points = 256

# %%
from topokd.explore import loss_explorer

# %% [markdown]
# Own features in one line: `loss_explorer(student, teacher)` for arrays or tensors with a row each; widths may differ.

# %%
loss_explorer(student or None, teacher or None, num_points=num_points)
