import { useState } from "preact/hooks";
import { get, type Incident, type IncidentEvent, post, Problem } from "../api";
import { useAnswer } from "../answer";
import { moment, short } from "../format";
import { ask, go, type Place } from "../place";
import { Choice, Link, Panel, Shown } from "../parts";
import { t, valueName } from "../words";

/** Bursts and storms are about many conversations under a name of their own. */
const isOne = (conversation: string) => !/^(pulse|queue):/.test(conversation);

function Actions(props: { incident: Incident; done: () => void }) {
  const { incident } = props;
  const [note, setNote] = useState("");
  const [busy, setBusy] = useState(false);
  const [told, setTold] = useState<string>();
  const act = async (action: "acknowledge" | "resolve") => {
    setBusy(true);
    setTold(undefined);
    try {
      // The version that was seen: somebody else may have been faster.
      await post(`/v1/incidents/${encodeURIComponent(incident.incident_id)}:${action}`, {
        expected_version: incident.version,
        command_id: crypto.randomUUID(),
        note,
      });
      setNote("");
      setTold(t("done"));
    } catch (error) {
      setTold(error instanceof Problem ? error.message : String(error));
    }
    setBusy(false);
    props.done();
  };
  if (incident.state === "resolved") return null;
  return (
    <div class="actions">
      <label>
        <span>{t("note")}</span>
        <input value={note} maxLength={2000} onInput={(event) => setNote(event.currentTarget.value)} />
      </label>
      {incident.state !== "acknowledged" && (
        <button type="button" disabled={busy} onClick={() => void act("acknowledge")}>
          {t("acknowledge")}
        </button>
      )}
      <button type="button" class="second" disabled={busy} onClick={() => void act("resolve")}>
        {t("resolve")}
      </button>
      <p role="status" class="quiet">
        {told}
      </p>
    </div>
  );
}

function Detail(props: { id: string; changed: () => void }) {
  const path = `/v1/incidents/${encodeURIComponent(props.id)}`;
  const one = useAnswer(`incident ${props.id}`, (signal) => get<{ incident: Incident }>(path, signal), 5_000);
  const events = useAnswer(`events ${props.id}`, (signal) => get<{ events: IncidentEvent[] }>(`${path}/events`, signal), 5_000);
  const done = () => {
    one.again();
    events.again();
    props.changed();
  };
  return (
    <Panel title={t("details")} id={props.id} class="detail">
      <Shown of={one}>
        {({ incident }) => (
          <>
            <p>
              <span class={`tag ${incident.severity}`}>{valueName(incident.severity)}</span>
              <span class={`tag ${incident.state}`}>{valueName(incident.state)}</span> {valueName(incident.kind)}
              {incident.category && ` · ${valueName(incident.category)}`}
            </p>
            <p class="quiet">
              {isOne(incident.conversation_id) ? (
                <>
                  {t("conversation")} <Link to={`/conversations/${encodeURIComponent(incident.conversation_id)}`}>{short(incident.conversation_id)}</Link>
                </>
              ) : (
                incident.conversation_id
              )}
              {incident.owner && ` · ${t("owner")} ${incident.owner}`}
              {incident.exhausted_reason && ` · ${t("reason")} ${valueName(incident.exhausted_reason)}`}
            </p>
            <h3>{t("evidence")}</h3>
            {incident.evidence.map((evidence) => (
              <blockquote key={evidence.event_id}>
                {isOne(incident.conversation_id) ? (
                  <Link to={`/conversations/${encodeURIComponent(incident.conversation_id)}?event=${encodeURIComponent(evidence.event_id)}`}>
                    {evidence.excerpt || valueName(evidence.kind)}
                  </Link>
                ) : (
                  evidence.excerpt || (evidence.rules ?? []).join(" · ") || valueName(evidence.kind)
                )}
                {(evidence.related ?? []).map((id) => (
                  <>
                    {" "}
                    <Link key={id} to={`/conversations/${encodeURIComponent(id)}`}>
                      {short(id)}
                    </Link>
                  </>
                ))}
              </blockquote>
            ))}
            <Actions key={incident.incident_id} incident={incident} done={done} />
          </>
        )}
      </Shown>
      <h3>{t("timeline")}</h3>
      <Shown of={events} empty={({ events }) => events.length === 0}>
        {({ events }) => (
          <ol class="timeline">
            {events.map((event) => (
              <li key={event.event_id}>
                <time>{moment(event.at)}</time> <strong>{valueName(event.type)}</strong> {event.actor} {event.note && <q>{event.note}</q>}
              </li>
            ))}
          </ol>
        )}
      </Shown>
    </Panel>
  );
}

export function IncidentsPage(props: { place: Place; id?: string | undefined }) {
  const all = props.place.search.get("show") === "all";
  const list = useAnswer(`incidents ${all}`, (signal) => get<{ incidents: Incident[]; warnings: string[] }>(`/v1/incidents?limit=200${all ? "&all" : ""}`, signal), 4_000);
  return (
    <div class={props.id ? "two master chosen" : "two master"}>
      <Panel
        title={t("incidents")}
        aside={<Choice label={t("state")} of={["open", "all"] as const} chosen={all ? "all" : "open"} name={(one) => t(`incidents_${one}`)} choose={(one) => ask({ show: one === "all" ? "all" : undefined })} />}
      >
        <Shown of={list} empty={({ incidents }) => incidents.length === 0} none={t("no_incidents")}>
          {({ incidents, warnings }) => (
            <>
              {warnings[0] && (
                <p class="stale" role="status">
                  {t("warning")}: {warnings[0]}
                </p>
              )}
              <ul class="queue choose">
                {incidents.map((one) => (
                  <li key={one.incident_id} class={one.incident_id === props.id ? "chosen" : ""}>
                    <span class={`tag ${one.severity}`}>{valueName(one.severity)}</span>
                    <div>
                      <p class="said">
                        <Link to={`/incidents/${one.incident_id}${location.search}`} current={one.incident_id === props.id}>
                          {one.evidence[0]?.excerpt || valueName(one.kind)}
                        </Link>
                      </p>
                      <p class="quiet">
                        {valueName(one.category || one.kind)} · <span class={`tag ${one.state}`}>{valueName(one.state)}</span> {one.owner}{" "}
                        {one.triggered_at && <time>{moment(one.triggered_at)}</time>}
                      </p>
                    </div>
                  </li>
                ))}
              </ul>
            </>
          )}
        </Shown>
      </Panel>
      {props.id && (
        <div>
          <button type="button" class="second back" onClick={() => go(`/incidents${location.search}`)}>
            ← {t("nav_incidents")}
          </button>
          <Detail key={props.id} id={props.id} changed={list.again} />
        </div>
      )}
    </div>
  );
}
