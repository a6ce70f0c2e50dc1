"""Convert data sets that cannot be read scan by scan into folders that a label map describes: ``topokd data convert``.

=========== ============================================================== =============== =====================
name        problem                                                        label map       classes
=========== ============================================================== =============== =====================
kitti360    labels exist only for clouds accumulated over 200 m            ``kitti360``    18 of its benchmark
pandaset    every scan is a pickle, which can run code when it is loaded   ``pandaset``    14 groups of its 42
=========== ============================================================== =============== =====================

The result has SemanticKITTI's layout, ``sequences/SS/velodyne/NNNNNN.bin`` and ``labels/NNNNNN.label``, with the lists
``train.txt`` and ``val.txt``. Training and evaluation read only that: `topokd.label_maps`.
"""
