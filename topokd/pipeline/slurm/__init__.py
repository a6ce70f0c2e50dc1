"""The pipeline on a SLURM cluster: ``topokd slurm plan | submit | status | logs | cancel | resume``.

It uses plain ``sbatch`` scripts, not submitit: a job must outlive the Python process that submitted it, requeue itself
under the same number (so that dependent jobs keep waiting), append to one log, and depend on single tasks of other
arrays; and operators want to read the script that runs. submitit pickles a function call, records a requeued process as
a failure, and has no dependencies between tasks. Without it, all that is needed is one shell script (`script`) and
three commands (`queue`).

`cluster`: resources of each kind of stage, from conf/cluster.yaml. `placement`: nodes, processes and GPUs of a task.
`plan`: unfinished stages, and the arrays that run them. `submit`: submits the arrays. `jobs`: state of the job of each
stage. `task`: one stage inside a job.
"""
