//! The text format 0.0.4 of Prometheus, made from `OpenMetrics`. Pure.

use std::fmt::Write;

/// Rewrites a text in `OpenMetrics`. Counters are named as their series, and there are no units.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(known) = line.strip_prefix("# HELP ") {
            help = known.split_once(' ');
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take() {
                // Writing to a string can't fail.
                let _ = writeln!(rewritten, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(rewritten, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            rewritten.push_str(line);
            rewritten.push('\n');
        }
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_counters_change_and_units_and_the_end_go() {
        let openmetrics = "# HELP a_seconds Times # of all.\n# TYPE a_seconds histogram\n\
                           # UNIT a_seconds seconds\na_seconds_sum 1.5\n\
                           # HELP b Bs.\n# TYPE b counter\nb_total{x=\"# y\"} 2\n\
                           # HELP c Cs.\n# TYPE c gauge\nc 3.0\n# EOF\n";
        assert_eq!(
            from_openmetrics(openmetrics),
            "# HELP a_seconds Times # of all.\n# TYPE a_seconds histogram\na_seconds_sum 1.5\n\
             # HELP b_total Bs.\n# TYPE b_total counter\nb_total{x=\"# y\"} 2\n\
             # HELP c Cs.\n# TYPE c gauge\nc 3.0\n"
        );
    }
}
