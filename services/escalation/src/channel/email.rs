//! Mail by SMTP, over TLS.
//!
//! All pages of an incident are one thread, and all attempts of a page are one mail: its
//! `Message-ID` is the page's id, by which mail programs tell copies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use zhili_incident::{Email, Outcome, Security};

use crate::address::{AddressError, Guard};
use crate::card::Card;
use crate::channel::answer::{LONGEST_WORDS, Sent};
use crate::channel::http::lost_connection;
use crate::channel::text::{self, Markup, Room};
use crate::channel::words;

/// From the look-up of the name to the server's word that it has the mail.
const TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What is written of a card; mails have room.
const ALL: Room =
    Room { message: usize::MAX, rules: usize::MAX, facts: usize::MAX, others: usize::MAX };

/// Sends mails. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mailer {
    /// Trusted besides what the machine trusts.
    roots: Arc<[Certificate]>,
    /// How to speak to a server, by its name: the machine's certificates are read once each.
    tls: Arc<Mutex<HashMap<String, TlsParameters>>>,
    timeout: Duration,
}

/// The mail of a page.
pub(crate) fn message(email: &Email, card: &Card, at: SystemTime) -> Result<Message, Sent> {
    let wrong = |error: &dyn std::fmt::Display| {
        Sent::new(Outcome::Rejected, format!("cannot write the mail: {error}"))
    };
    let mailbox = |address: &str| address.parse::<Mailbox>().map_err(|error| wrong(&error));
    let from = mailbox(&email.from)?;
    let domain = from.email.domain().to_owned();
    let thread = format!("<{}@{domain}>", card.incident_id);
    let title = words::title(card, email.language);
    let mut message = Message::builder()
        .from(from)
        .subject(Markup::Plain.quote(&title))
        .message_id(Some(format!("<{}@{domain}>", card.page_id)))
        .in_reply_to(thread.clone())
        .references(thread)
        .date(at)
        .header(ContentType::TEXT_PLAIN);
    for to in &email.to {
        message = message.to(mailbox(to)?);
    }
    let mut text = format!("{title}\n\n{}", text::body(card, email.language, Markup::Plain, ALL));
    if !card.link.is_empty() {
        text += &format!("\n\n{}", Markup::Plain.link(words::open(email.language), &card.link));
    }
    let mut message = message.body(text + "\n").map_err(|error| wrong(&error))?;
    // Nobody's holiday reply is of use (RFC 3834).
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(message)
}

impl Mailer {
    pub(crate) fn new(roots: impl Into<Arc<[Certificate]>>) -> Self {
        Self { roots: roots.into(), tls: Arc::default(), timeout: TIMEOUT }
    }

    /// Gives one mail to the server. `password` goes with the user name.
    pub(crate) async fn send(
        &self,
        email: &Email,
        guard: Guard,
        password: Option<&str>,
        message: &Message,
    ) -> Sent {
        let spoken = self.speak(email, guard, password, message);
        tokio::time::timeout(self.timeout, spoken).await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs();
            Sent::new(Outcome::Failed, format!("the mail server took over {seconds} s"))
        })
    }

    async fn speak(
        &self,
        email: &Email,
        guard: Guard,
        password: Option<&str>,
        message: &Message,
    ) -> Sent {
        let (host, port) = email.server.rsplit_once(':').unwrap_or((&email.server, ""));
        let Ok(port) = port.parse() else {
            return Sent::new(Outcome::Rejected, "the mail server is not host:port");
        };
        let addresses = match guard.resolve(host, port).await {
            Ok(addresses) => addresses,
            Err(error @ AddressError::Refused) => {
                return Sent::new(Outcome::Rejected, error.to_string());
            }
            Err(error) => return Sent::new(Outcome::Failed, error.to_string()),
        };
        let credentials = email.username.as_ref().zip(password);
        let credentials =
            credentials.map(|(name, word)| Credentials::new(name.clone(), word.to_owned()));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let given = async {
            let hello = ClientId::default();
            let tls = match email.security {
                Security::None => None,
                Security::Starttls | Security::Tls => Some(self.tls(host)?),
            };
            let (implicit, upgrade) = match email.security {
                Security::Tls => (tls, None),
                Security::Starttls | Security::None => (None, tls),
            };
            let mut connection = AsyncSmtpConnection::connect_tokio1(
                &addresses[..],
                Some(CONNECT_TIMEOUT),
                &hello,
                implicit,
                None,
            )
            .await?;
            if let Some(tls) = upgrade {
                connection.starttls(tls, &hello).await?;
            }
            if let Some(credentials) = credentials {
                connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
            }
            let response = connection.send(message.envelope(), &message.formatted()).await?;
            // It has the mail, whatever comes of the farewell.
            let _ = connection.quit().await;
            Ok(response)
        };
        match given.await {
            Ok(response) => Sent {
                code: response.code().to_string(),
                excerpt: response.message().collect::<Vec<_>>().join("\n"),
                ..Sent::new(Outcome::Delivered, format!("SMTP {}", response.code()))
            },
            Err(error) => refused(&error),
        }
    }

    fn tls(&self, host: &str) -> Result<TlsParameters, SmtpError> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = known.get(host) {
            return Ok(tls.clone());
        }
        let mut builder = TlsParameters::builder(host.to_owned());
        for root in self.roots.iter() {
            builder = builder.add_root_certificate(root.clone());
        }
        let tls = builder.build()?;
        known.insert(host.to_owned(), tls.clone());
        Ok(tls)
    }
}

/// 5yz is for good (RFC 5321, 4.2.1), everything else may pass.
fn refused(error: &SmtpError) -> Sent {
    let words = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let words = text::cut(&words, LONGEST_WORDS);
    let Some(code) = error.status() else {
        let unsaid = || Sent::new(Outcome::Failed, format!("no mail given: {words}"));
        return lost_connection(error).unwrap_or_else(unsaid);
    };
    let outcome = if error.is_permanent() { Outcome::Rejected } else { Outcome::Failed };
    let mut sent = Sent::new(outcome, format!("SMTP {code}: {words}"));
    sent.code = code.to_string();
    sent
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Lines};
    use std::process::{Child, ChildStdout, Command, Stdio};

    use zhili_tests::python::python_with;

    use super::*;
    use crate::channel::sample;

    fn email() -> Email {
        serde_json::from_str(
            r#"{"server": "smtp.example:587", "from": "zhili@example.com",
                "to": ["lead@example.com", "night@example.com"], "language": "en"}"#,
        )
        .unwrap()
    }

    fn written(card: &Card) -> String {
        let message = message(&email(), card, SystemTime::UNIX_EPOCH).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    #[test]
    fn all_attempts_of_a_page_are_one_mail_and_all_pages_of_an_incident_one_thread() {
        let mail = written(&sample::card());
        assert!(
            mail.contains("Message-ID: <ntf_aaaaaaaaaaaaaaaaaaaaaaaaaa@example.com>"),
            "{mail}"
        );
        assert!(
            mail.contains("References: <inc_aaaaaaaaaaaaaaaaaaaaaaaaaa@example.com>"),
            "{mail}"
        );
        assert!(mail.contains("To: lead@example.com, night@example.com"), "{mail}");
        assert!(mail.contains("Auto-Submitted: auto-generated"), "{mail}");
        assert_eq!(mail, written(&sample::card()));
    }

    #[test]
    fn nothing_in_a_card_becomes_a_header() {
        let card = Card { category: "x\r\nBcc: eve@example.com".into(), ..sample::card() };
        let (headers, _) = written(&card)
            .split_once("\r\n\r\n")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        assert!(!headers.lines().any(|line| line.starts_with("Bcc")), "{headers}");
    }

    /// A real mail server, and what it has taken.
    struct Server {
        child: Child,
        port: u16,
        taken: Lines<BufReader<ChildStdout>>,
        /// The authority of its certificate.
        root: Certificate,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.child.kill();
        }
    }

    impl Server {
        /// `None` where there is no Python or no package index.
        fn start(test: &str, mode: &str) -> Option<Self> {
            let python = python_with(test, &["aiosmtpd==1.4.6"])?;
            let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
            std::fs::write(&certificate, certified.cert.pem()).unwrap();
            std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/mail_server.py");
            let mut child = Command::new(python)
                .args([script, mode])
                .args([&certificate, &key])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut taken = BufReader::new(child.stdout.take().unwrap()).lines();
            let port = taken.next().unwrap().unwrap().parse().unwrap();
            let root = Certificate::from_pem(certified.cert.pem().as_bytes()).unwrap();
            Some(Self { child, port, taken, root })
        }

        fn email(&self, security: Security, to: &str) -> Email {
            let login = security != Security::None;
            Email {
                server: format!("localhost:{}", self.port),
                security,
                to: vec![to.to_owned()],
                username: login.then(|| "zhili".to_owned()),
                password: login.then(|| "env:UNUSED".to_owned()),
                allow_private: true,
                ..email()
            }
        }

        /// The next mail that it has taken.
        fn next(&mut self) -> serde_json::Value {
            serde_json::from_str(&self.taken.next().unwrap().unwrap()).unwrap()
        }
    }

    async fn give(email: &Email, roots: Vec<Certificate>, password: &str) -> Sent {
        let message = message(email, &sample::card(), SystemTime::now()).unwrap();
        let guard = Guard { allow_private: email.allow_private };
        Mailer::new(roots).send(email, guard, Some(password), &message).await
    }

    #[tokio::test]
    async fn a_mail_is_given_to_a_real_server_over_every_kind_of_connection() {
        for (mode, security) in
            [("starttls", Security::Starttls), ("tls", Security::Tls), ("plain", Security::None)]
        {
            let Some(mut server) = Server::start("mail", mode) else { return };
            let email = server.email(security, "lead@example.com");
            let sent = give(&email, vec![server.root.clone()], "right").await;
            assert_eq!((sent.outcome, sent.code.as_str()), (Outcome::Delivered, "250"), "{sent:?}");
            let mail = server.next();
            assert_eq!(mail["to"][0], "lead@example.com");
            assert_eq!(mail["user"].as_str(), (mode != "plain").then_some("zhili"), "{mode}");
            let content = mail["content"].as_str().unwrap();
            assert!(content.contains("Subject: [high] Customer complaint: regulator"), "{content}");
        }
    }

    #[tokio::test]
    async fn what_the_server_says_decides_whether_to_try_again() {
        let Some(server) = Server::start("mail", "starttls") else { return };
        let trusted = || vec![server.root.clone()];
        let email = |to| server.email(Security::Starttls, to);
        for (to, password, outcome, code) in [
            ("gone@example.com", "right", Outcome::Rejected, "550"),
            ("busy@example.com", "right", Outcome::Failed, "451"),
            ("lead@example.com", "wrong", Outcome::Rejected, "535"),
        ] {
            let sent = give(&email(to), trusted(), password).await.cleaned(&[]);
            assert_eq!((sent.outcome, sent.code.as_str()), (outcome, code), "{sent:?}");
            assert!(!sent.detail.contains(to), "{}", sent.detail);
        }
    }

    #[tokio::test]
    async fn nothing_is_said_over_a_connection_that_is_not_secure() {
        let Some(server) = Server::start("mail", "starttls") else { return };
        let email = server.email(Security::Starttls, "lead@example.com");
        let sent = give(&email, Vec::new(), "right").await;
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("no secure connection"), "{}", sent.detail);
        let Some(server) = Server::start("mail", "plain") else { return };
        let email = server.email(Security::Starttls, "lead@example.com");
        let sent = give(&email, vec![server.root.clone()], "right").await;
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("STARTTLS"), "{}", sent.detail);
        let private = Email { allow_private: false, ..email };
        let sent = give(&private, Vec::new(), "right").await;
        assert_eq!(sent.outcome, Outcome::Rejected);
        assert!(sent.detail.contains("allow_private"), "{}", sent.detail);
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_does_not_hold_a_page_for_ever() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let email = Email {
            server: listener.local_addr().unwrap().to_string(),
            security: Security::None,
            allow_private: true,
            ..email()
        };
        let message = message(&email, &sample::card(), SystemTime::now()).unwrap();
        let mailer = Mailer { timeout: Duration::from_millis(100), ..Mailer::new([]) };
        let sent = mailer.send(&email, Guard { allow_private: true }, None, &message).await;
        assert_eq!(sent.outcome, Outcome::Failed);
        assert!(sent.detail.contains("took over"), "{}", sent.detail);
    }
}
