//! Prints the assessment of each line of standard input, with its evidence:
//! `echo 再不退款就投诉 | cargo run -p zhili-tone --example explain -- customer`.
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::io::BufRead;

use zhili_tone::{Engine, Message, Role};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let role =
        std::env::args().nth(1).and_then(|name| Role::from_name(&name)).unwrap_or(Role::Customer);
    let engine = Engine::new()?;
    for line in std::io::stdin().lock().lines() {
        let text = line?;
        let result = engine.assess(&Message { role, text: &text, lang: None, context: &[] });
        println!("{text}");
        println!(
            "  {} acts {:?} only {:?}",
            result.lang,
            result.acts,
            result.only.map(zhili_tone::Act::as_str)
        );
        if let Some(politeness) = result.politeness {
            println!(
                "  politeness {} {} forbidden {}",
                politeness.label, politeness.score, result.forbidden
            );
        }
        if let Some(sentiment) = result.sentiment {
            println!(
                "  sentiment {} {} ({:.2})",
                sentiment.label, sentiment.value, sentiment.confidence
            );
        }
        if let Some(complaint) = result.complaint {
            let category = complaint.category.map_or("-", |category| category.as_str());
            println!("  complaint {} {} {}", complaint.label, category, complaint.probability);
        }
        for promise in &result.promises {
            println!(
                "  promise {} {} {}..{}",
                promise.kind, promise.due, promise.start, promise.end
            );
        }
        let question = result.question.map_or("-", |kind| kind.as_str());
        println!("  question {question} topic {}", result.topic.unwrap_or("-"));
        for evidence in &result.evidence {
            let span: String =
                text.chars().skip(evidence.start).take(evidence.end - evidence.start).collect();
            println!(
                "    {:<10} {:>8.3}  {}..{} '{span}'  {}: {}",
                evidence.target,
                evidence.points,
                evidence.start,
                evidence.end,
                evidence.class,
                evidence.rule
            );
        }
    }
    Ok(())
}
