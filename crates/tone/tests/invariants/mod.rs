//! What holds of every assessment, whatever the text.

use zhili_tone::{Assessment, POLITENESS_BASE, Target, URGENCY_BASE};

/// The first thing about `result` that must not be, in words.
pub(crate) fn broken(text: &str, result: &Assessment) -> Option<String> {
    let scalars = text.chars().count();
    for evidence in &result.evidence {
        if evidence.start > evidence.end || evidence.end > scalars {
            return Some(format!("span beyond {scalars} scalars: {evidence:?}"));
        }
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
