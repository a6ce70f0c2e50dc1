"""Explorers: persistence, the topological loss and whole scenes, in the browser.

Every explorer takes your data in one line, shows the project's own without any, and can be written as a page that
needs no kernel:

    filtration_explorer(points)              a filtration of an array (n, c), or of a .npy, .ply or .bin file
    loss_explorer(student, teacher)          L_topo between the features of two networks
    scene_explorer("default")                a scan, and the features of a profile's networks on it
    write_page("page.html", "filtration", points)
"""

from topokd.explore.explorers import filtration_explorer, loss_explorer, scene_explorer
from topokd.explore.files import read_points
from topokd.explore.page import PAGES, write_page
from topokd.explore.session import Session

__all__ = [
    "PAGES",
    "Session",
    "filtration_explorer",
    "loss_explorer",
    "read_points",
    "scene_explorer",
    "write_page",
]
