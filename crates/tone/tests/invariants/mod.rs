//! What holds of every assessment, whatever the text.

use zhili_tone::{Act, Assessment, Due, POLITENESS_BASE, Promise, Target, URGENCY_BASE};

/// The first thing about `result` that must not be, in words.
pub(crate) fn broken(text: &str, result: &Assessment) -> Option<String> {
    let scalars = text.chars().count();
    for evidence in &result.evidence {
        if evidence.start > evidence.end || evidence.end > scalars {
            return Some(format!("span beyond {scalars} scalars: {evidence:?}"));
        }
    }
    for promise in &result.promises {
        if promise.start >= promise.end || promise.end > scalars || !is_due(promise) {
            return Some(format!("{promise:?} in {scalars} scalars"));
        }
    }
    if !result.promises.is_empty() && result.politeness.is_none() {
        return Some("promises of a customer".to_owned());
    }
    if result.question.is_some() && !result.acts.contains(Act::Question) {
        return Some(format!("{:?} without the act", result.question));
    }
    if result.topic.is_some() && result.complaint.is_none() {
        return Some("a topic of an agent".to_owned());
    }
    let (sentiment, complaint) = (result.sentiment, result.complaint);
    let scores = [
        (Target::Politeness, result.politeness.map(|one| one.score), POLITENESS_BASE, 0.0..=100.0),
        (Target::Sentiment, sentiment.map(|one| one.value), 0.0, -1.0..=1.0),
        (Target::Complaint, complaint.map(|one| one.dissatisfaction), 0.0, 0.0..=1.0),
        (Target::Urgency, complaint.map(|one| one.probability), URGENCY_BASE, 0.0..=1.0),
    ];
    for (target, score, base, range) in scores {
        let sum = base + result.points(target);
        match score {
            Some(score) if !range.contains(&score) => {
                return Some(format!("{target} is {score}"));
            }
            Some(score) if (sum - score).abs() > 1e-9 => {
                return Some(format!("{target} is {score}, its contributions sum to {sum}"));
            }
            None if result.evidence.iter().any(|evidence| evidence.target == target) => {
                return Some(format!("contributions to {target}, of which there is none"));
            }
            _ => {}
        }
    }
    let confidence = sentiment.map_or(0.0, |one| one.confidence);
    (!(0.0..=1.0).contains(&confidence)).then(|| format!("confidence {confidence}"))
}

fn is_due(promise: &Promise) -> bool {
    let minutes = 1..=1440;
    match promise.due {
        Due::Within { ms } => ms > 0,
        Due::WorkDays { days } => days > 0,
        Due::Day { days, minute } => days <= 3 && minutes.contains(&minute),
        Due::Weekday { weeks, weekday, minute } => {
            weeks <= 2 && weekday <= 6 && minutes.contains(&minute)
        }
        Due::Vague => true,
    }
}
