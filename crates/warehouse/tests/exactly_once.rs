//! Every crash point of the sink in a small model: a log of a few records, tables that remember
//! tokens, and a fault at any step, in which an INSERT may be lost, land in part, or land late.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use zhili_eventlog::testkit::seeds::each_seed;

mod model;

use model::{Fault, Run, Tokens, end_of_one_sink};
use zhili_warehouse::sink::Stopped;
use zhili_warehouse::{SinkError, Table};

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
fn many_faults_neither_lose_nor_double_a_row() {
    each_seed("sink", 2_000, |seed| {
        let mut random = StdRng::seed_from_u64(seed);
        let trouble = [0.05, 0.2, 0.4].choose(&mut random).copied().unwrap();
        // The sink writes a block under three tokens at most, then waits for a person.
        let mut orphans = 0;
        let mut plan = Vec::new();
        for step in 0..60 {
            if random.random_bool(trouble) {
                let fault = *faults(20).choose(&mut random).unwrap();
                orphans += u32::from(matches!(fault, Fault::CrashOrphan | Fault::ErrorOrphan));
                if orphans < 3 {
                    plan.push((step, fault));
                }
            }
        }
        Run::new(Tokens::Honoured, &plan).assert_exactly_once();
    });
}

#[test]
fn a_day_without_clickhouse_is_made_up_for() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (run, asked, drained) = Run::after_an_outage(DAY);
    run.assert_exactly_once();
    // Neither given up nor asked without a pause.
    assert!((1_000..200_000).contains(&asked), "asked {asked} times");
    assert!(drained < Duration::from_secs(600), "{drained:?}");
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

#[test]
fn a_refusal_halts_the_partition_and_leaves_its_range_announced() {
    let refused_at = (0..10).find_map(|step| {
        let (ended, committed) = end_of_one_sink(Tokens::Honoured, None, &[(step, Fault::Refused)]);
        match ended {
            Err(SinkError::Halted { partition, .. }) => Some((partition, committed)),
            _ => None,
        }
    });
    let (partition, committed) = refused_at.expect("no step is an INSERT");
    assert_eq!(partition.to_string(), "zhili.facts.v1[0]");
    let committed = committed.expect("nothing was announced");
    assert_eq!((committed.offset, committed.metadata.as_str()), (0, "log=log-a;pending=0-1"));
}

#[test]
fn rows_that_are_accepted_again_and_again_and_are_not_there_halt_the_partition() {
    let (ended, committed) = end_of_one_sink(Tokens::Swallowed, Some((0, "pending=0-1")), &[]);
    assert!(
        matches!(ended, Err(SinkError::Unverified { table: Table::Turns, rows: 1, .. })),
        "{ended:?}"
    );
    assert_eq!(committed.map(|committed| committed.metadata), Some("pending=0-1".to_owned()));
}

#[test]
fn rows_in_whose_place_newer_ones_stand_are_done() {
    let (ended, committed) = end_of_one_sink(Tokens::Replaced, Some((9, "pending=9-11")), &[]);
    assert!(matches!(ended, Ok(Stopped::Shutdown)), "{ended:?}");
    assert_eq!(committed.map(|committed| committed.offset), Some(12));
}

#[test]
fn a_position_of_another_log_halts_instead_of_being_mistaken() {
    let (ended, _) = end_of_one_sink(Tokens::Honoured, Some((2, "log=log-b")), &[]);
    assert!(matches!(ended, Err(SinkError::LogChanged { .. })), "{ended:?}");
}

#[test]
fn a_position_with_foreign_metadata_halts() {
    let (ended, _) = end_of_one_sink(Tokens::Honoured, Some((2, "written by something else")), &[]);
    assert!(matches!(ended, Err(SinkError::UnreadablePosition { .. })), "{ended:?}");
}

#[test]
fn a_range_that_the_log_has_lost_halts() {
    let (ended, committed) =
        end_of_one_sink(Tokens::Honoured, Some((9, "log=log-a;pending=9-400")), &[]);
    assert!(
        matches!(ended, Err(SinkError::PendingBeyondEnd { last: 400, end: 12, .. })),
        "{ended:?}"
    );
    assert_eq!(committed.map(|committed| committed.offset), Some(9));
}

#[test]
fn a_position_without_a_log_id_is_taken_over() {
    let (ended, committed) = end_of_one_sink(Tokens::Honoured, Some((9, "pending=9-11")), &[]);
    assert!(matches!(ended, Ok(Stopped::Shutdown)), "{ended:?}");
    let committed = committed.map(|committed| (committed.offset, committed.metadata));
    assert_eq!(committed, Some((12, "log=log-a".to_owned())));
}
