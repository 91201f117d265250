//! `zhili incidents`: what waits for a person.

use clap::Subcommand;
use zhili_proto::escalation::v1::delivery_result::Outcome;
use zhili_proto::escalation::v1::escalation_service_client::EscalationServiceClient;
use zhili_proto::escalation::v1::incident::Severity;
use zhili_proto::escalation::v1::silence::Mode;
use zhili_proto::escalation::v1::{
    AcknowledgeRequest, CreateSilenceRequest, DeliveryAttempt, EscalateNowRequest,
    ExpireSilenceRequest, Family, GetRequest, GetResponse, Incident, ListRequest, ListResponse,
    ListSilencesRequest, MarkFalsePositiveRequest, Matcher, OnCall, OnCallRequest, ReassignRequest,
    RedeliverRequest, ResolveRequest, Silence, SnoozeRequest, TestDestinationRequest,
};
use zhili_proto::millis;
use zhili_runtime::Failure;

use crate::client::{Connection, System, print, print_json, said};
use crate::duration::Length;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    system: System,
    /// JSON instead of words.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Open incidents, the gravest first and of those the oldest.
    List {
        /// Resolved ones too.
        #[arg(long)]
        all: bool,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// All about one incident: what was said, who was told, what was done.
    Show {
        /// Its id, inc_...
        incident: String,
    },
    /// Take incidents: nobody else is paged for them.
    Ack(Choices),
    /// Come back to an incident later: nobody is paged for it until then.
    Snooze {
        #[command(flatten)]
        choice: Choice,
        /// How long, such as 30m or 4h; at most 7d.
        #[arg(long = "for", value_name = "LENGTH")]
        length: Length,
    },
    /// Page somebody else for an incident, whoever has it now.
    Reassign {
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        to: To,
    },
    /// Take the next step of its policy now.
    Escalate(Choice),
    /// Close incidents whose signals were wrong; they are kept as examples to tune by.
    FalsePositive(Choices),
    /// Close incidents for good.
    Resolve(Choices),
    /// What came of every attempt to page somebody for an incident.
    Attempts {
        /// Its id, inc_...
        incident: String,
    },
    /// Send a page that has come to its end to its destination once more.
    Redeliver {
        #[command(flatten)]
        choice: Choice,
        /// Its id, ntf_..., as `attempts` lists it.
        page: String,
    },
    /// Send a message that says it is a test to a destination.
    Test {
        /// Its name in the team.
        destination: String,
        /// The team it belongs to.
        #[arg(long, default_value = "default")]
        team: String,
    },
    /// Page nobody for what matches, for a time. It is recorded all the same.
    Silence(NewSilence),
    /// Silences that have not ended.
    Silences {
        /// Also those that ended less than a day ago.
        #[arg(long)]
        all: bool,
        /// Of this team only.
        #[arg(long, default_value = "")]
        team: String,
    },
    /// Who is on call now and next, and when nobody is.
    OnCall {
        /// Of this team only.
        #[arg(long, default_value = "")]
        team: String,
        /// This schedule only.
        #[arg(long, default_value = "")]
        schedule: String,
        /// Look for gaps this far ahead; at most 400d.
        #[arg(long, default_value = "14d")]
        window: Length,
    },
    /// End a silence before its time.
    Unsilence {
        /// Its id, sil_...
        silence: String,
    },
}

/// Every condition that is given must hold; one that is given several times holds if any of its
/// values does. `*` stands for any characters.
#[derive(Debug, clap::Args)]
struct NewSilence {
    /// How long, such as 30m or 2d; at most 30d.
    #[arg(long = "for", value_name = "LENGTH")]
    length: Length,
    /// Why.
    #[arg(long)]
    comment: String,
    /// Policies stand still instead: at the end they go on with what was left of their delay.
    #[arg(long)]
    maintenance: bool,
    /// The team.
    #[arg(long, default_value = "")]
    team: String,
    /// complaint, wording, sla, crisis.
    #[arg(long)]
    family: Vec<String>,
    /// info, warning, high, critical.
    #[arg(long)]
    severity: Vec<String>,
    /// urgent_complaint, sla.*, ...
    #[arg(long)]
    kind: Vec<String>,
    /// regulator, legal, ...
    #[arg(long)]
    category: Vec<String>,
    #[arg(long)]
    queue: Vec<String>,
    #[arg(long)]
    agent: Vec<String>,
    #[arg(long)]
    channel: Vec<String>,
    #[arg(long)]
    conversation: Vec<String>,
}

impl NewSilence {
    fn request(self) -> Result<CreateSilenceRequest, Failure> {
        let families = self.family.iter().map(|name| {
            let family = Family::from_str_name(name).filter(|it| *it != Family::Unspecified);
            family.map(i32::from).ok_or_else(|| unknown("family", name))
        });
        let severities = self.severity.iter().map(|name| {
            let severity = Severity::from_str_name(name).filter(|it| *it != Severity::Unspecified);
            severity.map(i32::from).ok_or_else(|| unknown("severity", name))
        });
        let matcher = Matcher {
            family: families.collect::<Result<_, _>>()?,
            severity: severities.collect::<Result<_, _>>()?,
            kind: self.kind,
            category: self.category,
            queue: self.queue,
            agent: self.agent,
            channel: self.channel,
            conversation_id: self.conversation,
        };
        let mode = if self.maintenance { Mode::Maintenance } else { Mode::Silence };
        Ok(CreateSilenceRequest {
            team: self.team,
            command_id: String::new(),
            matcher: Some(matcher),
            mode: mode.into(),
            starts_at: None,
            ends_at: None,
            duration: Some(zhili_proto::duration(self.length.ms)),
            comment: self.comment,
        })
    }
}

fn unknown(what: &str, name: &str) -> Failure {
    Failure::Usage(format!("--{what}: {name:?} is none that there is"))
}

/// Who shall have an incident.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// A destination of the team.
    #[arg(long)]
    to: Option<String>,
    /// Another policy of the team.
    #[arg(long)]
    policy: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Choice {
    /// Its id, inc_...
    incident: String,
    /// For the record.
    #[arg(long, default_value = "")]
    note: String,
    /// Refuse if it has changed since this version; 0 takes any.
    #[arg(long, default_value_t = 0)]
    if_version: u64,
}

/// One incident, several, or all that are open.
#[derive(Debug, clap::Args)]
struct Choices {
    /// Their ids, inc_...
    #[arg(required_unless_present = "all_open")]
    incidents: Vec<String>,
    /// Every incident that is open now.
    #[arg(long, conflicts_with = "incidents")]
    all_open: bool,
    /// For the record.
    #[arg(long, default_value = "")]
    note: String,
    /// Refuse if it has changed since this version; 0 takes any.
    #[arg(long, default_value_t = 0, conflicts_with = "all_open")]
    if_version: u64,
}

impl Choices {
    /// Each of them by itself.
    async fn each(self, client: &mut Client) -> Result<Vec<Choice>, Failure> {
        let Self { mut incidents, all_open, note, if_version } = self;
        if all_open {
            let open = list(client, false, MOST).await?.incidents;
            incidents = open.into_iter().map(|incident| incident.incident_id).collect();
        }
        let of = |incident| Choice { incident, note: note.clone(), if_version };
        Ok(incidents.into_iter().map(of).collect())
    }
}

type Client = EscalationServiceClient<Connection>;

/// Most incidents that the service lists at once.
pub(crate) const MOST: u32 = 1_000;

/// Incidents, the open ones first and of those the gravest, with what is to be warned of.
pub(crate) async fn list(
    client: &mut Client,
    all: bool,
    limit: u32,
) -> Result<ListResponse, Failure> {
    let request = ListRequest { all, limit, team: String::new() };
    Ok(client.list(request).await.map_err(|status| said(&status))?.into_inner())
}

/// A request about one incident; its command id is chosen by the service.
macro_rules! plain {
    ($request:ident, $choice:expr $(, $field:ident: $value:expr)*) => {{
        let Choice { incident: incident_id, note, if_version: expected_version } = $choice;
        let command_id = String::new();
        $request { incident_id, expected_version, command_id, note $(, $field: $value)* }
    }};
}

pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let addresses = arguments.system.addresses()?;
    let connection = arguments.system.connect(&addresses.escalation).await?;
    let mut client = EscalationServiceClient::new(connection);
    let json = arguments.json;
    let done = match arguments.action {
        Action::List { all, limit } => {
            let list = list(&mut client, all, limit).await?;
            if arguments.json {
                return print_json(&list);
            }
            for warning in &list.warnings {
                print(&format!("warning: {warning}\n"))?;
            }
            if list.incidents.is_empty() {
                return print("no open incidents\n");
            }
            print(HEADINGS)?;
            return list.incidents.iter().try_for_each(|incident| print(&line(incident)));
        }
        Action::Show { incident } => {
            let request = GetRequest { incident_id: incident };
            let found = client.get(request).await.map_err(|status| said(&status))?.into_inner();
            if arguments.json {
                return print_json(&found);
            }
            return print(&page(&found));
        }
        Action::Silence(new) => {
            let silence = client.create_silence(new.request()?).await;
            let silence = silence.map_err(|status| said(&status))?.into_inner().silence;
            return show(&silence.unwrap_or_default(), arguments.json);
        }
        Action::Attempts { incident } => {
            let request = GetRequest { incident_id: incident };
            let found = client.get(request).await.map_err(|status| said(&status))?.into_inner();
            if arguments.json {
                return print_json(&found.attempts);
            }
            for attempt in &found.attempts {
                print(&attempt_line(attempt))?;
            }
            if found.attempts.is_empty() {
                print("nothing was sent\n")?;
            }
            return Ok(());
        }
        Action::Test { destination, team } => {
            let request = TestDestinationRequest { team, destination };
            let answer = client.test_destination(request).await;
            let answer = answer.map_err(|status| said(&status))?.into_inner();
            if arguments.json {
                print_json(&answer)?;
            } else {
                let outcome = answer.outcome().as_str_name();
                let (detail, took_ms) = (&answer.detail, answer.duration_ms);
                print(&format!("{outcome} in {took_ms} ms: {detail}\n"))?;
            }
            if answer.outcome() == Outcome::Delivered {
                return Ok(());
            }
            return Err(Failure::Problems("the test was not delivered".to_owned()));
        }
        Action::Unsilence { silence } => {
            let request = ExpireSilenceRequest { silence_id: silence, command_id: String::new() };
            let silence = client.expire_silence(request).await;
            let silence = silence.map_err(|status| said(&status))?.into_inner().silence;
            return show(&silence.unwrap_or_default(), arguments.json);
        }
        Action::OnCall { team, schedule, window } => {
            let window = Some(zhili_proto::duration(window.ms));
            let request = OnCallRequest { team, schedule, at: None, window };
            let answer = client.on_call(request).await.map_err(|status| said(&status))?;
            let answer = answer.into_inner();
            if arguments.json {
                return print_json(&answer);
            }
            if answer.schedules.is_empty() {
                print("no schedules\n")?;
            }
            return answer.schedules.iter().try_for_each(on_call);
        }
        Action::Silences { all, team } => {
            let request = ListSilencesRequest { team, all };
            let list = client.list_silences(request).await.map_err(|status| said(&status))?;
            let list = list.into_inner();
            if arguments.json {
                return print_json(&list);
            }
            if list.silences.is_empty() {
                print("no silences\n")?;
            }
            return list.silences.iter().try_for_each(|silence| show(silence, false));
        }
        Action::Ack(choices) => {
            for choice in choices.each(&mut client).await? {
                let done = client.acknowledge(plain!(AcknowledgeRequest, choice)).await;
                changed(done.map(|answer| answer.into_inner().incident), json)?;
            }
            return Ok(());
        }
        Action::Resolve(choices) => {
            for choice in choices.each(&mut client).await? {
                let done = client.resolve(plain!(ResolveRequest, choice)).await;
                changed(done.map(|answer| answer.into_inner().incident), json)?;
            }
            return Ok(());
        }
        Action::FalsePositive(choices) => {
            for choice in choices.each(&mut client).await? {
                let done = client.mark_false_positive(plain!(MarkFalsePositiveRequest, choice));
                changed(done.await.map(|answer| answer.into_inner().incident), json)?;
            }
            return Ok(());
        }
        Action::Escalate(choice) => client
            .escalate_now(plain!(EscalateNowRequest, choice))
            .await
            .map(|answer| answer.into_inner().incident),
        Action::Redeliver { choice, page } => {
            let request = plain!(RedeliverRequest, choice, page_id: page);
            client.redeliver(request).await.map(|answer| answer.into_inner().incident)
        }
        Action::Snooze { choice, length } => {
            let duration = Some(zhili_proto::duration(length.ms));
            let request = plain!(SnoozeRequest, choice, until: None, duration: duration);
            client.snooze(request).await.map(|answer| answer.into_inner().incident)
        }
        Action::Reassign { choice, to } => {
            let (destination, policy) = (to.to.unwrap_or_default(), to.policy.unwrap_or_default());
            let request = plain!(ReassignRequest, choice, destination: destination, policy: policy);
            client.reassign(request).await.map(|answer| answer.into_inner().incident)
        }
    };
    changed(done, json)
}

/// What became of an incident.
fn changed(done: Result<Option<Incident>, tonic::Status>, json: bool) -> Result<(), Failure> {
    let incident = done.map_err(|status| said(&status))?.unwrap_or_default();
    if json { print_json(&incident) } else { print(&line(&incident)) }
}

/// A schedule: who is on call, who comes next, when nobody is.
fn on_call(it: &OnCall) -> Result<(), Failure> {
    let now = if it.now.is_empty() { "nobody" } else { &it.now };
    let next = it.next.as_ref().map_or_else(
        || "nobody within 60 days".to_owned(),
        |shift| format!("{} from {}", shift.member, time(shift.starts_at.as_ref())),
    );
    print(&format!("{}/{}: {now}, then {next}\n", it.team, it.schedule))?;
    it.gaps.iter().try_for_each(|gap| {
        let (from, until) = (time(gap.starts_at.as_ref()), time(gap.ends_at.as_ref()));
        print(&format!("  nobody from {from} to {until}\n"))
    })
}

fn time(at: Option<&zhili_proto::Timestamp>) -> String {
    let at = at.and_then(millis);
    let at = at.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map(|at| format!("{at:.0}")).unwrap_or_default()
}

/// A silence in one line: what it holds, until when, whose, why.
fn show(silence: &Silence, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(silence);
    }
    let matcher = silence.matcher.clone().unwrap_or_default();
    let families = matcher.family().map(|it| it.as_str_name().to_owned()).collect();
    let severities = matcher.severity().map(|it| it.as_str_name().to_owned()).collect();
    let conditions = [
        ("family", &families),
        ("severity", &severities),
        ("kind", &matcher.kind),
        ("category", &matcher.category),
        ("queue", &matcher.queue),
        ("agent", &matcher.agent),
        ("channel", &matcher.channel),
        ("conversation", &matcher.conversation_id),
    ];
    let given = conditions.into_iter().filter(|(_, values)| !values.is_empty());
    let given =
        given.map(|(name, values): (_, &Vec<String>)| format!("{name}={}", values.join("|")));
    let given = given.collect::<Vec<_>>().join(" ");
    print(&format!(
        "{} {:<11} {} to {} by {}: {given}  {}\n",
        silence.silence_id,
        silence.mode().as_str_name(),
        time(silence.starts_at.as_ref()),
        time(silence.ends_at.as_ref()),
        silence.author,
        silence.comment,
    ))
}

/// An attempt in one line: when, where, what came of it.
fn attempt_line(attempt: &DeliveryAttempt) -> String {
    let at = attempt.claimed_at.as_ref().and_then(millis).unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(at).map(|at| at.to_string()).unwrap_or_default();
    format!(
        "{at} {} {:<12} {:<9} attempt {} {:<9} {:>6} ms {}\n",
        attempt.page_id,
        attempt.destination,
        attempt.channel,
        attempt.attempt,
        attempt.outcome().as_str_name(),
        attempt.duration_ms,
        attempt.detail,
    )
}

const HEADINGS: &str = "\
INCIDENT                       SEVERITY STATE        SINCE        WHAT              OWNER         LAST WORDS
";

/// An incident in one line: how bad, since when, what, whose, why.
fn line(incident: &Incident) -> String {
    let excerpt = incident.evidence.last().map_or("", |signal| &signal.excerpt);
    let excerpt: String = excerpt.chars().take(60).collect();
    let since = minute(incident.triggered_at.as_ref());
    let owner = if incident.owner.is_empty() { "-" } else { &incident.owner };
    format!(
        "{:<30} {:<8} {:<12} {since:<12} {:<17} {owner:<13} {excerpt}\n",
        incident.incident_id,
        incident.severity().as_str_name(),
        incident.state().as_str_name(),
        what(incident),
    )
}

/// What it is about: the category, or the kind of one that has none.
pub(crate) fn what(incident: &Incident) -> &str {
    if incident.category.is_empty() { &incident.kind } else { &incident.category }
}

/// A moment in the zone of this machine, to the minute.
fn minute(at: Option<&zhili_proto::Timestamp>) -> String {
    let at = at.and_then(millis).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let local = |at: jiff::Timestamp| at.to_zoned(jiff::tz::TimeZone::system());
    at.map(|at| local(at).strftime("%m-%d %H:%M").to_string()).unwrap_or_default()
}

/// All about an incident, a fact a line.
fn page(found: &GetResponse) -> String {
    let incident = found.incident.clone().unwrap_or_default();
    let mut text = String::new();
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("{name:<13} {value}\n");
        }
    };
    fact("incident", &incident.incident_id);
    let (severity, state) = (incident.severity().as_str_name(), incident.state().as_str_name());
    fact("state", &format!("{state}, {severity}, version {}", incident.version));
    fact("what", &format!("{} {}", incident.kind, incident.category));
    fact("conversation", &incident.conversation_id);
    fact("team", &incident.team);
    fact("queue", &incident.queue);
    fact("since", &time(incident.triggered_at.as_ref()));
    fact("owner", &incident.owner);
    fact("given to", &incident.assigned_to);
    fact("acknowledged", &time(incident.acknowledged_at.as_ref()));
    fact("resolved", &time(incident.resolved_at.as_ref()));
    fact("how", &incident.resolution);
    fact("policy", &format!("{}, step {}", incident.policy, incident.step + 1));
    fact("next", &time(incident.next_at.as_ref()));
    if let Some(suppression) = &incident.suppression {
        fact("held back", &format!("{}: {}", suppression.cause, suppression.detail));
    }
    fact("pages nobody", &incident.exhausted_reason);
    for signal in &incident.evidence {
        let at = jiff::Timestamp::from_millisecond(signal.effective_ms);
        let at = at.map(|at| format!("{at:.0}")).unwrap_or_default();
        fact("signal", &format!("{at} {:.2} {}", signal.probability, signal.excerpt));
        fact("", &signal.rules.join(", "));
    }
    let said = incident.evidence.last().map(|signal| &signal.said[..]).unwrap_or_default();
    for message in said {
        let (at, role) = (time(message.sent_at.as_ref()), message.role().as_str_name());
        fact("said", &format!("{at} {role}: {}", message.text));
    }
    for page in &incident.pages {
        let (state, at) = (page.state().as_str_name(), time(page.created_at.as_ref()));
        fact(
            "page",
            &format!("{at} {} to {}: {state} {}", page.page_id, page.destination, page.detail),
        );
    }
    for attempt in &found.attempts {
        fact("attempt", attempt_line(attempt).trim_end());
    }
    text
}
