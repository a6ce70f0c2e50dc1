"""Evaluation: confusion matrix and IoU, and predictions per original point.

>>> from topokd.evaluation import ConfusionMatrix
>>> cm = ConfusionMatrix(2, ("road", "car"))
>>> cm.update([0, 1, 1], [0, 1, 0])
>>> cm.iou().tolist(), cm.miou()
([0.5, 0.5], 0.5)
"""

from topokd.evaluation.confusion import ConfusionMatrix, evaluation_record
from topokd.evaluation.predict import class_probabilities, evaluate, predict

__all__ = ["ConfusionMatrix", "class_probabilities", "evaluate", "evaluation_record", "predict"]
