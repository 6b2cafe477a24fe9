"""This module is the head of the package of Bradley-Terry numerics: numbers in, numbers out.

It knows no essays, judges, ids or files.

    comparisons      Comparisons, checked on the way in
    fit              fit, neutral_fit, Fit: scores by the estimators production, mle, map
    standard_errors  standard_errors (centred, component, reference)
    diagnostics      se_summary, quality_flags, flags_are_vacuous, displayed
    mean_squares     infit and outfit, of items and of groups of comparisons
    reliability      scale_separation
    position         position_effect: does the judge favour what it is shown first?
    agreement        kendall_tau_a, kendall_tau_b, rank_correlation, without_rounding_error
    pairs, newton, separation   the parts of `fit`

Imported from these modules by name: `from cj_pipeline.bt.fit import fit`.
"""
