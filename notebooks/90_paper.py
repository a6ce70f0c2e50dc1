# %% [markdown]
# # The paper, reported and measured
# Every table and figure beside what this profile measured, and the report that holds them all. Nothing is computed here
# that trains or predicts: this notebook reads `results/<profile>/` and `figures/<profile>/`.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile

# %%
from IPython.display import Markdown, display

from topokd import params as P
from topokd.paper import figures, reported
from topokd.paper.exhibits import TABLES
from topokd.paper.findings import comparability, findings
from topokd.paper.report import table_view, write_report, write_tables
from topokd.paper.results import Results
from topokd.viz.style import save_figure

params = P.load(params_file)
results = Results.read(params.results)
written = write_tables(results)

# %% [markdown]
# ## What was found

# %%
display(Markdown("\n".join(f"- **{finding.question}** {finding.sentence}" for finding in findings(results))))

# %% [markdown]
# ## What may be compared with the paper

# %%
display(Markdown("\n".join(f"- **{name}.** {text}" for name, text in comparability(results))))

# %% [markdown]
# ## Tables 1 to 8
# Cells as printed beside our own; `tables/` holds them in full precision.

# %%
for table in TABLES:
    view = table_view(table, results)
    display(Markdown(f"### {view.title}\n\n{view.grid.markdown(view.corner)}\n\n{view.caption}"))

# %% [markdown]
# ## Figure 1 a
# The published radar prints no numbers: the left one is drawn from the paper's Tables 1 to 4.

# %%
figure = figures.figure1(results)
save_figure(figure, params.figures / "figure1")

# %% [markdown]
# ## Figure 2

# %%
figure = figures.figure2()
save_figure(figure, params.figures / "figure2")

# %% [markdown]
# ## The loss terms
# Left: every seed, mean and 95 % interval. Right: gains over KD alone, paired by seed, beside those of Table 7.

# %%
figure = figures.ablation_figure(results)
if figure is not None:
    save_figure(figure, params.figures / "ablation")

# %% [markdown]
# ## Validation while training

# %%
figure = figures.validation_figure(results)
if figure is not None:
    save_figure(figure, params.figures / "validation")

# %% [markdown]
# ## Where the paper disagrees with itself
# Numbers of its text or tables that do not follow from its own cells. The tables above quote it as printed.

# %%
reported.disagreements()

# %% [markdown]
# ## The report

# %%
path = write_report(params.results, params.figures)
display(Markdown(f"Written: `results/{params.profile}/{path.name}` and {len(written)} files in `tables/`."))
