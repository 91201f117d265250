//! Every crash point of the sink in a small model: a log of a few records, tables that remember
//! tokens, and a fault at any step, in which an INSERT may be lost, land in part, or land late.

mod model;

use model::{Fault, Run, Tokens};

/// Faults that a step can meet, with INSERTs landing up to `latest` steps late.
fn faults(latest: u32) -> Vec<Fault> {
    let mut faults = vec![
        Fault::CrashBefore,
        Fault::CrashAfter,
        Fault::CrashInPart,
        Fault::CrashOrphan,
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::ErrorInPart,
        Fault::ErrorOrphan,
    ];
    for steps in 1..=latest {
        faults.push(Fault::CrashLate(steps));
        faults.push(Fault::ErrorLate(steps));
        faults.push(Fault::RevokeLate(steps));
    }
    faults
}

#[test]
fn a_run_without_faults_writes_every_row_once() {
    let run = Run::new(Tokens::Honoured, &[]);
    assert!(run.steps >= 15, "the model is too small: {} steps", run.steps);
    run.assert_exactly_once();
}

#[test]
fn one_fault_at_any_step_neither_loses_nor_doubles_a_row() {
    let steps = Run::new(Tokens::Honoured, &[]).steps;
    for step in 0..steps {
        for fault in faults(2 * steps) {
            Run::new(Tokens::Honoured, &[(step, fault)]).assert_exactly_once();
        }
    }
}

#[test]
fn two_faults_at_any_steps_neither_lose_nor_double_a_row() {
    let steps = Run::new(Tokens::Honoured, &[]).steps;
    for first in 0..steps {
        for second in first + 1..steps + 6 {
            for one in faults(2) {
                for other in faults(2) {
                    Run::new(Tokens::Honoured, &[(first, one), (second, other)])
                        .assert_exactly_once();
                }
            }
        }
    }
}

#[test]
fn without_tokens_asking_the_table_is_enough_as_long_as_nothing_lands_late() {
    let steps = Run::new(Tokens::Ignored, &[]).steps;
    for step in 0..steps {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::CrashInPart] {
            Run::new(Tokens::Ignored, &[(step, fault)]).assert_exactly_once();
        }
    }
}

#[test]
fn without_tokens_a_late_insert_doubles_rows_but_no_identity() {
    let steps = Run::new(Tokens::Ignored, &[]).steps;
    let mut doubled = 0;
    for step in 0..steps {
        for late in 1..steps {
            let run = Run::new(Tokens::Ignored, &[(step, Fault::CrashLate(late))]);
            run.assert_each_identity_present();
            doubled += usize::from(run.rows() > run.expected());
        }
    }
    assert!(doubled > 0, "the model cannot tell whether tokens matter");
}
