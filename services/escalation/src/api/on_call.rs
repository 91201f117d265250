//! Who is on call, and who is in a conversation.

use zhili_incident::{DEFAULT_TEAM, LONGEST_VIEW_MS, Presence, Schedule, Shift, calendar};
use zhili_proto::escalation::v1 as pb;
use zhili_proto::{duration_millis, millis, timestamp};
use zhili_runtime::auth::Principal;
use zhili_runtime::{ErrorCode, ServiceError};

use super::Api;
use super::commands::{LONGEST_ID, check_id, invalid};
use crate::convert;
use crate::link::{LinkError, Subscription};

const DAY_MS: i64 = 24 * 60 * 60_000;
const DEFAULT_WINDOW_MS: i64 = 14 * DAY_MS;
/// What a calendar shows before and after now.
const CALENDAR_MS: (i64, i64) = (7 * DAY_MS, 90 * DAY_MS);

impl Api {
    pub(crate) fn on_call(
        &self,
        caller: Option<&Principal>,
        request: &pb::OnCallRequest,
    ) -> Result<pb::OnCallResponse, ServiceError> {
        let tenant = self.admit(caller)?.tenant.as_str();
        let at_ms = match &request.at {
            None => (self.clock)(),
            Some(at) => millis(at).ok_or_else(|| invalid("at: beyond what can be counted"))?,
        };
        let window_ms = match &request.window {
            None => DEFAULT_WINDOW_MS,
            Some(window) => duration_millis(window)
                .filter(|ms| (1..=LONGEST_VIEW_MS).contains(ms))
                .ok_or_else(|| invalid("window: give more than nothing and at most 400 days"))?,
        };
        let config = self.reach.config(tenant).unwrap_or_default();
        let teams = config.teams().iter();
        let teams = teams.filter(|(team, _)| request.team.is_empty() || **team == request.team);
        let schedules = teams.flat_map(|(team, settings)| {
            settings.schedules.iter().map(move |(name, schedule)| (team, name, schedule))
        });
        let wanted = |name: &str| request.schedule.is_empty() || name == request.schedule;
        let schedules: Vec<pb::OnCall> = schedules
            .filter(|(_, name, _)| wanted(name))
            .map(|(team, name, schedule)| {
                let subscription = Subscription {
                    tenant: tenant.to_owned(),
                    team: team.clone(),
                    schedule: name.clone(),
                };
                let calendar_url = self.links.of_calendar(&subscription).unwrap_or_default();
                let on_call = on_call(team, name, schedule, at_ms, window_ms);
                pb::OnCall { calendar_url, ..on_call }
            })
            .collect();
        if schedules.is_empty() && !request.schedule.is_empty() {
            return Err(unknown(&request.schedule));
        }
        Ok(pb::OnCallResponse { schedules })
    }

    /// A schedule of a team as an iCalendar object.
    pub(crate) fn calendar(
        &self,
        caller: Option<&Principal>,
        team: &str,
        name: &str,
    ) -> Result<String, ServiceError> {
        let tenant = self.admit(caller)?.tenant.as_str();
        self.calendar_of(tenant, if team.is_empty() { DEFAULT_TEAM } else { team }, name)
    }

    /// The same for whoever has its signed link.
    pub(crate) fn linked_calendar(&self, token: &str) -> Result<String, ServiceError> {
        let gone = |error: LinkError| ServiceError::new(ErrorCode::NotFound, error.to_string());
        let Subscription { tenant, team, schedule } =
            self.links.open_calendar(token).map_err(gone)?;
        self.calendar_of(&tenant, &team, &schedule)
    }

    fn calendar_of(&self, tenant: &str, team: &str, name: &str) -> Result<String, ServiceError> {
        let config = self.reach.config(tenant).unwrap_or_default();
        let schedule = config.teams().get(team).and_then(|team| team.schedules.get(name));
        let schedule = schedule.ok_or_else(|| unknown(name))?;
        let now_ms = (self.clock)();
        let (before_ms, after_ms) = CALENDAR_MS;
        let title = format!("{team}/{name}");
        Ok(calendar(&title, schedule, now_ms - before_ms, now_ms + after_ms, now_ms))
    }

    pub(crate) async fn attend(
        &self,
        caller: Option<&Principal>,
        request: pb::AttendRequest,
    ) -> Result<pb::AttendResponse, ServiceError> {
        let caller = self.admit_to(caller, &request.conversation_id)?;
        let pb::AttendRequest { conversation_id, team, leaves } = request;
        if conversation_id.is_empty() {
            return Err(invalid("conversation_id: empty; name the conversation"));
        }
        check_id("conversation_id", &conversation_id)?;
        check_id("team", &team)?;
        let team = if team.is_empty() { DEFAULT_TEAM.to_owned() } else { team };
        let tenant = caller.tenant.to_string();
        let value = convert::presence_record(Presence {
            tenant: tenant.clone(),
            team: team.clone(),
            conversation_id,
            actor: caller.name.clone(),
            here: !leaves,
            at_ms: None,
        });
        self.append(&tenant, &team, value).await?;
        Ok(pb::AttendResponse {})
    }
}

fn on_call(team: &str, name: &str, schedule: &Schedule, at_ms: i64, window_ms: i64) -> pb::OnCall {
    let until_ms = at_ms.saturating_add(window_ms);
    let shifts = schedule.shifts(at_ms, until_ms);
    pb::OnCall {
        team: team.to_owned(),
        schedule: name.to_owned(),
        now: schedule.on_call(at_ms).unwrap_or_default().to_owned(),
        next: schedule.next(at_ms).as_ref().map(shift),
        gaps: shifts.iter().filter(|shift| shift.member.is_none()).map(shift).collect(),
        shifts: shifts.iter().map(shift).collect(),
        calendar_url: String::new(),
    }
}

fn shift(it: &Shift<'_>) -> pb::Shift {
    pb::Shift {
        member: it.member.unwrap_or_default().to_owned(),
        starts_at: Some(timestamp(it.starts_at_ms)),
        ends_at: Some(timestamp(it.ends_at_ms)),
    }
}

fn unknown(name: &str) -> ServiceError {
    let name: String = name.chars().take(LONGEST_ID).collect();
    ServiceError::new(ErrorCode::NotFound, format!("no schedule is called {name:?}"))
}
