# %% [markdown]
# # Studies
# Experiments with enough seeds to show that a term has no effect. The pipeline does not run them: their protocols are
# in `study/`, and the answers of those that have been run in `study/answers/` (docs/study.md).

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/

# %%
from functools import partial

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

from topokd import params as P
from topokd.paper import studies
from topokd.paper.results import Results, networks
from topokd.viz import study as view
from topokd.viz.dose import dose_figure
from topokd.viz.style import save_figure
from topokd.viz.tables import full_table

params = P.load(params_file, save=save)
results = Results.of_studies(params)
figures = params.figures / "study"

# %% [markdown]
# ## What has run, and what has not

# %%
full_table(studies.protocols(results), "protocols")

# %% [markdown]
# ## Power, computed before the runs
# Probability of detecting a true difference, and of showing equivalence if there is none, at the corrected level of the
# strictest comparison, from the number of seeds and the spread that each protocol expects.

# %%
figure = view.power_figure(studies.power(results))
save_figure(figure, figures / "power")

# %% [markdown]
# ## Comparisons
# Paired by seed; intervals over seeds by Student's t, over streets and both by bootstrap; Holm's correction over all
# comparisons of a study; equivalence by two one-sided tests.

# %%
full_table(studies.comparisons(results), "comparisons")

# %%
for profile, study in results.studies.items():
    for pair in study.get("comparisons", []):
        name = f"**{profile}: {study['labels'][pair['treatment']]}** against {study['labels'][pair['control']]}"
        display(Markdown(f"- {name}: {studies.sentence(pair, study)}"))

# %% [markdown]
# ## Weights that the trials chose
# Every tuned row has the same number of trials, of one seed each; rows without weights vary the learning rate.

# %%
full_table(studies.weights(results), "weights")

# %% [markdown]
# ## Gradients of the terms
# The weighted term's gradient in the student's parameters over that of the segmentation loss. Gradients are clipped, so
# a term far above 1 leaves little of the others.

# %%
full_table(studies.gradients(results), "gradients")

# %% [markdown]
# ## Figures
# Paired differences, all trials, and validation during training: a curve that still rises was stopped early.

# %%
for profile, study in results.studies.items():
    for kind, draw in (
        ("differences", view.differences_figure),
        ("trials", partial(view.trials_figure, networks=networks(params))),
        ("curves", partial(view.curves_figure, networks=networks(params))),
    ):
        if profile != studies.DOSE and (figure := draw(study)) is not None:
            display(Markdown(f"### {profile}: {kind}"))
            save_figure(figure, figures / f"{kind}-{profile}")
            plt.show()

# %% [markdown]
# ## Dose and response
# Does the topological distance between teacher and student fall when L_topo is trained on, and does accuracy change?

# %%
display(Markdown(studies.dose_sentence(results) or f"Not run yet: `{studies.PROTOCOLS[studies.DOSE].command}`."))
figure = dose_figure(results.studies[studies.DOSE]) if studies.DOSE in results.studies else None
if figure is not None:
    save_figure(figure, figures / "dose")
