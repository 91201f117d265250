import { type DataHealth, post } from "../api";
import { useAnswer } from "../answer";
import { count, duration, moment, share } from "../format";
import { type Place, scopeOf } from "../place";
import { Panel, Scroll, Shown } from "../parts";
import { said } from "../said";
import { t, valueName } from "../words";

/** Seconds by which tables may be behind the log before somebody should look. */
const BEHIND = 30;

function Count(props: { name: string; about: string; value: string; more?: string | undefined; heat?: string | undefined }) {
  return (
    <article class={`gauge ${props.heat ?? ""}`} title={props.about}>
      <h3>{props.name}</h3>
      <p class={props.value === t("not_measured") ? "figure unmeasured" : "figure"}>{props.value}</p>
      {props.more && <p class="quiet">{props.more}</p>}
      <p class="quiet">{props.about}</p>
    </article>
  );
}

const seconds = (s: number | undefined) => (s === undefined ? t("not_measured") : duration(s * 1000));

export function HealthPage(props: { place: Place }) {
  const { place } = props;
  const known = useAnswer(
    `health ${place.search}`,
    (signal) => {
      const { from, to } = scopeOf(place, []);
      return post<DataHealth>("/v1/data-health", { from, to }, signal);
    },
    10_000,
  );
  return (
    <Shown of={known}>
      {(seen) => {
        const dead = seen.dead_letters.reduce((sum, one) => sum + Number(one.records), 0);
        const failed = seen.notifiers.reduce((sum, one) => sum + Number(one.failed), 0);
        const pages = seen.notifiers.reduce((sum, one) => sum + Number(one.delivered), failed);
        const masked = seen.masked.reduce((sum, one) => sum + Number(one.places), 0);
        return (
          <>
            {seen.trouble && (
              <p class="stale" role="alert">
                {t("trouble")}: {seen.trouble}
              </p>
            )}
            <div class="tiles">
              <Count name={t("lag")} about={t("lag_about")} value={seconds(seen.lag_seconds)} more={`${count(seen.lag_records)} ${t("records")}`} heat={seen.lag_seconds > BEHIND ? "red" : ""} />
              <Count name={t("newest")} about={t("newest_about")} value={seen.newest_at ? duration(Math.max(0, Date.now() - new Date(seen.newest_at).getTime())) : t("not_measured")} more={seen.newest_at ? moment(seen.newest_at) : undefined} />
              <Count name={t("late")} about={t("late_about")} value={share(seen.late, seen.live)} more={`${count(seen.late)} / ${count(seen.live)}`} heat={Number(seen.late) * 20 > Number(seen.live) ? "amber" : ""} />
              <Count name={t("dead_letters")} about={t("dead_letters_about")} value={count(dead)} more={`${t("events")} ${count(seen.events)}`} heat={dead > 0 ? "red" : ""} />
              <Count name={t("masked")} about={t("masked_about")} value={count(masked)} />
              <Count name={t("unknown_language")} about={t("unknown_language_about")} value={share(seen.unknown_language, seen.heard)} more={`${count(seen.unknown_language)} / ${count(seen.heard)}`} />
              <Count name={t("unscored")} about={t("unscored_about")} value={share(seen.unscored, seen.messages)} more={`${count(seen.unscored)} / ${count(seen.messages)}`} heat={Number(seen.unscored) > 0 ? "amber" : ""} />
              <Count name={t("notifier_failures")} about={t("notifier_failures_about")} value={share(String(failed), String(pages))} more={`${count(failed)} / ${count(pages)}`} heat={failed > 0 ? "red" : ""} />
            </div>
            <div class="two">
              <Panel title={t("delays")} csv>
                <table class="list">
                  <thead>
                    <tr>
                      <th>{t("stage")}</th>
                      <th class="number">{t("p50")}</th>
                      <th class="number">{t("p99")}</th>
                    </tr>
                  </thead>
                  <tbody>
                    <tr>
                      <th scope="row">{t("delay_arrival")}</th>
                      <td class="number">{seconds(seen.delay_p50_seconds)}</td>
                      <td class="number">{seconds(seen.delay_p99_seconds)}</td>
                    </tr>
                    <tr>
                      <th scope="row">{t("delay_scoring")}</th>
                      <td class="number">{seconds(seen.scoring_p50_seconds)}</td>
                      <td class="number">{seconds(seen.scoring_p99_seconds)}</td>
                    </tr>
                  </tbody>
                </table>
              </Panel>
              <Panel title={t("masked")} csv={seen.masked.length > 0}>
                {seen.masked.length === 0 ? (
                  <p class="quiet">{t("nothing_masked")}</p>
                ) : (
                  <table class="list">
                    <thead>
                      <tr>
                        <th>{t("kind")}</th>
                        <th class="number">{t("places")}</th>
                        <th class="number">{t("messages")}</th>
                      </tr>
                    </thead>
                    <tbody>
                      {seen.masked.map((one) => (
                        <tr key={one.kind}>
                          <th scope="row">{valueName(one.kind)}</th>
                          <td class="number">{count(one.places)}</td>
                          <td class="number">{count(one.messages)}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                )}
              </Panel>
              <Panel title={t("dead_letters")} csv={seen.dead_letters.length > 0}>
                {seen.dead_letters.length === 0 ? (
                  <p class="quiet">{t("no_dead_letters")}</p>
                ) : (
                  <table class="list">
                    <thead>
                      <tr>
                        <th>{t("reason")}</th>
                        <th>{t("component")}</th>
                        <th class="number">{t("records")}</th>
                        <th>{t("last")}</th>
                      </tr>
                    </thead>
                    <tbody>
                      {seen.dead_letters.map((one) => (
                        <tr key={`${one.component}/${one.reason}`}>
                          <th scope="row">{valueName(one.reason)}</th>
                          <td>{valueName(one.component)}</td>
                          <td class="number">{count(one.records)}</td>
                          <td>{moment(one.last_at)}</td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                )}
              </Panel>
              <Panel title={t("notifiers")} csv={seen.notifiers.length > 0}>
                {seen.notifiers.length === 0 ? (
                  <p class="quiet">{t("no_pages")}</p>
                ) : (
                  <Scroll label={t("notifiers")}>
                    <table class="list">
                      <thead>
                        <tr>
                          <th>{t("destination")}</th>
                          <th>{t("filter_channel")}</th>
                          <th class="number">{t("delivered")}</th>
                          <th class="number">{t("given_up")}</th>
                          <th class="number">{t("attempts")}</th>
                          <th>{t("last_cause")}</th>
                        </tr>
                      </thead>
                      <tbody>
                        {seen.notifiers.map((one) => (
                          <tr key={`${one.destination}/${one.channel}`}>
                            <th scope="row">{one.destination}</th>
                            <td>{one.channel}</td>
                            <td class="number">{count(one.delivered)}</td>
                            <td class={`number ${Number(one.failed) > 0 ? "missed-it" : ""}`}>{count(one.failed)}</td>
                            <td class="number">{count(one.attempts)}</td>
                            <td class="quiet">{said(one.detail)}</td>
                          </tr>
                        ))}
                      </tbody>
                    </table>
                  </Scroll>
                )}
              </Panel>
            </div>
          </>
        );
      }}
    </Shown>
  );
}
