//! Commands of a shell as documents have them: words, quotes, comments, and what joins commands.

/// The commands of a script, each as its words; what only sets a variable is left out.
///
/// Enough for documents: `$(...)` is kept as it stands, nothing is replaced.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = None::<String>;
    let mut characters = script.chars().peekable();
    let end_word = |word: &mut Option<String>, commands: &mut Vec<Vec<String>>| {
        if let (Some(word), Some(command)) = (word.take(), commands.last_mut()) {
            command.push(word);
        }
    };
    while let Some(next) = characters.next() {
        match next {
            '\\' => match characters.next() {
                Some('\n') | None => end_word(&mut word, &mut commands),
                Some(other) => word.get_or_insert_default().push(other),
            },
            '\'' => {
                word.get_or_insert_default()
                    .extend(characters.by_ref().take_while(|it| *it != '\''));
            }
            '"' => {
                let word = word.get_or_insert_default();
                while let Some(next) = characters.next_if(|it| *it != '"') {
                    word.push(if next == '\\' { characters.next().unwrap_or(next) } else { next });
                }
                characters.next();
            }
            '$' if characters.peek() == Some(&'(') => {
                let word = word.get_or_insert_default();
                word.push('$');
                for next in characters.by_ref() {
                    word.push(next);
                    if next == ')' {
                        break;
                    }
                }
            }
            '#' if word.is_none() => while characters.next_if(|it| *it != '\n').is_some() {},
            '\n' | ';' | '|' | '&' => {
                end_word(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            ' ' | '\t' => end_word(&mut word, &mut commands),
            other => word.get_or_insert_default().push(other),
        }
    }
    end_word(&mut word, &mut commands);
    for command in &mut commands {
        let settings = command.iter().take_while(|word| sets_variable(word)).count();
        command.drain(..settings);
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn sets_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

#[test]
fn a_script_is_its_commands() {
    let script = "a=b\nx=1 $zhili tail --last 20  # what happens\nmake run FILE=p && curl -s \\\n  -d '{\"a\":\n1}' \"b $(cat c d)\" | e\\ f\n";
    let expected: [&[&str]; 4] = [
        &["$zhili", "tail", "--last", "20"],
        &["make", "run", "FILE=p"],
        &["curl", "-s", "-d", "{\"a\":\n1}", "b $(cat c d)"],
        &["e f"],
    ];
    assert_eq!(commands(script), expected);
}
