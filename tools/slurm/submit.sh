#!/usr/bin/env bash
# Submit a profile to SLURM: the script's name for `topokd slurm submit --profile PROFILE` (docs/hpc.md).
#   tools/slurm/submit.sh [PROFILE] [options of `topokd slurm submit`, for instance --cluster NAME]
set -euo pipefail
cd "$(dirname "$0")/../.."
profile=default
case ${1:-} in "" | -*) ;; *) profile=$1; shift ;; esac
exec topokd slurm submit --profile "$profile" "$@"
