"""Evaluation: a benchmark's tasks × trials become a run folder, and a run folder becomes figures.

    benchmarks   a name or a file -> tasks, checked
    run          tasks, team -> a run folder: concurrent, journalled, resumable
    admission    when an attempt may start under a hard budget
    folder       the run folder: written once, read by everybody (`load_run`)
    metrics      attempts -> summary: Avg@N, Max@N, Min@N, Pass@N with confidence intervals
    compare      two runs -> paired differences and their p-values
    audit        train tasks against a benchmark: who has seen what
    stats        the statistics under metrics and compare
    progress     what a terminal shows meanwhile

The run folder (format 1). Everything is JSON; a kill can tear only the last line of a `.jsonl`, which is dropped.
Where a place (task and trial) has several lines, the last one counts.

    eval.json       `Setup`: bench, split, limit, trials, workflow, seed, modes, judge, the configuration (what differs
                    from the defaults), versions, the digest of the tasks. Written first, changed by nothing but a
                    resume with more trials, another budget or other limits of the chat client
    tasks.jsonl     `wideseek.records.Task`: every task of the run with its gold, in order
    rollouts.jsonl  `wideseek.records.Rollout`, in the order in which they ended: every agent's turns. Pages that stand
                    in pages.jsonl with the same text are left out of it (`EvalRun.rollout` puts them back)
    pages.jsonl     `wideseek.records.Page`: each page that an agent read, once
    scores.jsonl    `Attempt`: outcome, the parts of the score in each mode, what the attempt did and cost
    details.jsonl   `Details`: the `wideseek.records.Score` of each mode, row by row what is wrong (`EvalRun.scores`)
    summary.json    `Summary`: the figures over all attempts, written at the end and after an interruption; after a kill
                    it may be older than scores.jsonl (`metrics.summarise` makes a new one)
    attempts/N-T/   the journal of an attempt that has not ended (task number N in tasks.jsonl, trial T); gone once its
                    line in scores.jsonl stands, kept where the attempt has to be made again

An attempt's `outcome` is `scored`, or why it has no score: `policy` (the model's server failed after every retry),
`budget` (the budget of the whole run cut it short), `judge` (a judge failed). Running again makes `policy` and `budget`
attempts again, from their journals, and scores `judge` attempts again from their rollouts.
"""

from wideseek.evals.folder import Details, EvalRun, load_run
from wideseek.evals.records import Attempt, Metric, Scores, Setup, Summary

__all__ = ["Attempt", "Details", "EvalRun", "Metric", "Scores", "Setup", "Summary", "load_run"]
