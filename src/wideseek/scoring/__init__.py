"""Scores one can trust: tables and short answers, the published rules and the repaired ones, judges, the reward.

    table.py      score_response, score_rollout: one entrance for every task and mode
    strict.py     the default: WideSearch's rules with the faults repaired, in pure Python
    official.py   WideSearch's published scorer, bug for bug (pandas)
    rlinf.py      the reward of the paper's training code, bug for bug (pandas)
    text.py       short answers: exact match, token F1, containment, boxed answers
    judge.py      ExactJudge (offline), LLMJudge (any chat policy)
    reward.py     a rollout's reward, in named parts
    tasks.py      files of tasks: the one reader and checker of `eval`, `score` and `train`
    files.py      responses and tasks in files -> scores: the function of `wideseek score`

    spec.py       what a task asks for, column by column     cells.py, dates.py    how strict compares two cells
    plain.py      text as a reader sees it                   metrics.py            precision, recall, F1
    frames.py     how the published scorers read tables

docs/scoring.md has the rules, and every difference between `strict` and `official` with its test.
"""
