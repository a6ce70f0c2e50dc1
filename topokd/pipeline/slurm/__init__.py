"""The pipeline on a SLURM cluster: ``topokd slurm plan | submit | status | logs | cancel | resume``.

Plain ``sbatch`` scripts, not submitit: a job must outlive the Python that submitted it, requeue itself under the same
number (so that dependent jobs keep waiting), append to one log, and depend on single tasks of other arrays; and
an operator wants to read what runs. submitit pickles a function call, records a requeued process as a failure, and has
no dependencies between tasks. What is left to write is one shell script (`script`) and three commands (`queue`).

`cluster`: resources of each kind of stage, from conf/cluster.yaml. `plan`: which stages are left, and the arrays that
run them. `submit`: sends them. `jobs`: what is known about the job of each stage. `task`: one stage inside a job.
"""
