# %% [markdown]
# # The paper, reported and measured
# Every exhibit of `topokd.paper.exhibits` with the measurements of this profile, and the report that contains them
# all. Nothing is trained or predicted here: this notebook reads `results/<profile>/` and `figures/<profile>/`.

# %% tags=["parameters"]
params_file = "results/default/params.yaml"  # resolved parameters of the profile
save = False  # True: write into results/ and figures/, as the pipeline does; False: into workspace/by-hand/

# %%
import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display

from topokd import params as P
from topokd.paper import exhibits
from topokd.paper.claims import claims, details, lead
from topokd.paper.notebooks import publish
from topokd.paper.render import render_exhibit, stylesheet
from topokd.paper.report import write_report, write_tables
from topokd.paper.results import Results
from topokd.viz.style import save_figure

params = P.load(params_file, save=save)
results = Results.read(params.results)

# %% [markdown]
# ## Findings

# %%
answers = "\n".join(f"- **{c.question}** {c.sentence}" for c in claims(results))
display(Markdown(f"{lead(results)}\n\n{details(results)}\n\n{answers}"))

# %% [markdown]
# ## Pages, tables and figures written by this notebook
# The executed notebooks as pages, Tables 1 to 8 in full precision, and the figures that are drawn from results alone.

# %%
pages = publish(params)
written = write_tables(results)
for exhibit in exhibits.figures():
    if exhibit.draw and (figure := exhibit.draw(results)) is not None:
        save_figure(figure, params.figures / exhibit.files[0])
        plt.close(figure)

# %% [markdown]
# ## All exhibits
# As in the report, section by section.

# %%
display(HTML(f"<style>{stylesheet('exhibits')}</style>"))
for section, shown in exhibits.sections():
    display(Markdown(f"### {section.title}\n\n{section.introduction}"))
    for exhibit in shown:
        display(HTML(render_exhibit(exhibit, results, params.figures)))

# %% [markdown]
# ## The report

# %%
path = write_report(params.results, params.figures)
display(
    Markdown(
        f"Written: `results/{params.profile}/{path.name}` and {len(written)} files in `tables/`, "
        f"{len(pages)} executed notebooks in `notebooks/`."
    )
)
