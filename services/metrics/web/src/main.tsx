import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { get, logIn, logOut, type Metric, provider, type Welcome, whenLoggedOut, whoAmI } from "./api";
import { useAnswer } from "./answer";
import { AgentsPage } from "./pages/agents";
import { ComplaintsPage } from "./pages/complaints";
import { ConversationPage, ConversationsPage } from "./pages/conversation";
import { HealthPage } from "./pages/health";
import { IncidentsPage } from "./pages/incidents";
import { LibraryPage } from "./pages/library";
import { MetricPage } from "./pages/metric";
import { OverviewPage } from "./pages/overview";
import { PhrasesPage } from "./pages/phrases";
import { SearchField, SearchPage } from "./pages/search";
import { WallPage } from "./pages/wall";
import { ShiftPage } from "./pages/shift";
import { useRank } from "./pages/figures";
import { group } from "./format";
import { ask, BASELINES, type Baseline, baselineOf, FILTERS, keeping, type Place, RANGES, type Range, rangeOf, usePlace } from "./place";
import { Choice, knowMetrics, Link, Shown, told } from "./parts";
import { type Language, language, metricName, setLanguage, t, type Word } from "./words";
import "./style.css";

const PAGES: { path: string; word: Word; right: string; ranged: boolean }[] = [
  { path: "/", word: "nav_wall", right: "aggregates", ranged: false },
  { path: "/shift", word: "nav_shift", right: "aggregates", ranged: true },
  { path: "/overview", word: "nav_overview", right: "aggregates", ranged: true },
  { path: "/agents", word: "nav_agents", right: "aggregates", ranged: true },
  { path: "/complaints", word: "nav_complaints", right: "aggregates", ranged: true },
  { path: "/incidents", word: "nav_incidents", right: "incidents", ranged: false },
  { path: "/conversations", word: "nav_conversations", right: "transcripts", ranged: true },
  { path: "/phrases", word: "nav_phrases", right: "aggregates", ranged: true },
  { path: "/library", word: "nav_library", right: "aggregates", ranged: true },
  { path: "/health", word: "nav_health", right: "aggregates", ranged: true },
];

type Theme = "light" | "dark";

const kept = (name: string): string | null => {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
};
const keep = (name: string, value: string) => {
  try {
    localStorage.setItem(name, value);
  } catch {
    // A browser that keeps nothing asks again.
  }
};

function startLanguage(): Language {
  const said = new URLSearchParams(location.search).get("lang") ?? kept("lang");
  if (said === "zh" || said === "en") return said;
  return navigator.language.startsWith("zh") ? "zh" : "en";
}

function startTheme(): Theme {
  const said = new URLSearchParams(location.search).get("theme") ?? kept("theme");
  if (said === "light" || said === "dark") return said;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

const LOGINS = ["expired", "refused", "provider", "nothing"] as const;

/** What came of logging in at the provider, which leads back to the first page when it failed. */
function loginFailed(): Word | undefined {
  const said = new URLSearchParams(location.search).get("login");
  const known = LOGINS.find((one) => one === said);
  return known && `login_${known}`;
}

/** Where the provider leads back to: here, without what came of the last attempt. */
function here(): string {
  const search = new URLSearchParams(location.search);
  search.delete("login");
  const query = search.toString();
  return location.pathname + (query && `?${query}`);
}

function LogIn(props: { done: (welcome: Welcome) => void }) {
  const [token, setToken] = useState("");
  const failed = loginFailed();
  const [problem, setProblem] = useState<string | undefined>(failed && t(failed));
  const [at, setAt] = useState<string>();
  useEffect(() => {
    // Without an answer there is the token.
    provider().then(setAt, () => undefined);
  }, []);
  return (
    <main class="log-in">
      <form
        class="panel"
        onSubmit={async (event) => {
          event.preventDefault();
          try {
            props.done(await logIn(token));
          } catch (error) {
            setProblem(told(error));
          }
        }}
      >
        <h1>
          {t("title")} <span class="quiet">{t("subtitle")}</span>
        </h1>
        {at && (
          <>
            <a class="button" href={`/login?path=${encodeURIComponent(here())}`}>
              {t("log_in_at").replace("{}", at)}
            </a>
            <p class="or quiet">{t("or")}</p>
          </>
        )}
        <label>
          <span>{t("token")}</span>
          <input type="password" name="token" autocomplete="current-password" value={token} onInput={(event) => setToken(event.currentTarget.value)} required />
        </label>
        <p class="quiet">{t("token_hint")}</p>
        {problem && (
          <p class="stale" role="alert">
            {problem}
          </p>
        )}
        <button type="submit">{t("log_in")}</button>
      </form>
    </main>
  );
}

/** What most figures can be narrowed by, wherever one is. */
const NARROWED = ["queue", "channel"] as const;

/** A choice among the values that there are. */
function Narrow(props: { place: Place; by: (typeof NARROWED)[number]; metric: Metric }) {
  const { by } = props;
  // Not narrowed by itself, or there would be one value to choose.
  const search = new URLSearchParams(props.place.search);
  search.delete(by);
  const ranked = useRank(props.metric, { ...props.place, search }, by);
  const chosen = props.place.search.get(by);
  const values = (ranked.data?.ranks ?? []).map((one) => one.group).filter((one) => one !== "");
  if (chosen && !values.includes(chosen)) values.push(chosen);
  return <Choice label={t(`by_${by}`)} of={["", ...values.sort()]} chosen={chosen ?? ""} name={(one) => (one === "" ? t("all") : one)} choose={(one) => ask({ [by]: one === "" ? undefined : one })} />;
}

function Filters(props: { place: Place; metrics: Metric[]; compares: boolean; narrows: boolean }) {
  const given = FILTERS.filter((name) => props.place.search.has(name) && !NARROWED.includes(name as "queue"));
  const metric = props.metrics.find((one) => one.id === "rt.first_unanswered.v1");
  return (
    <div class="filters">
      <Choice label={t("range")} of={Object.keys(RANGES) as Range[]} chosen={rangeOf(props.place)} name={(range) => t(`range_${range}`)} choose={(range) => ask({ range })} />
      {props.compares && <Choice label={t("compare_with")} of={Object.keys(BASELINES) as Baseline[]} chosen={baselineOf(props.place)} name={(one) => t(`baseline_${one}`)} choose={(one) => ask({ baseline: one === "before" ? undefined : one })} />}
      {props.narrows && metric && NARROWED.map((by) => <Narrow key={by} place={props.place} by={by} metric={metric} />)}
      {given.map((name) => (
        <button key={name} type="button" class="chip" title={t("clear")} onClick={() => ask({ [name]: undefined })}>
          {t(`by_${name}` as Word)}: {group(name, props.place.search.get(name) ?? "")} ✕
        </button>
      ))}
    </div>
  );
}

function Page(props: { place: Place; metrics: Metric[]; theme: Theme; may: (right: string) => boolean }) {
  const { place, metrics, theme, may } = props;
  const [, first, second] = place.path.split("/");
  const id = second === undefined ? undefined : decodeURIComponent(second);
  const metric = metrics.find((one) => one.id === id);
  switch (first) {
    case "shift":
      return <ShiftPage metrics={metrics} place={place} theme={theme} />;
    case "overview":
      return <OverviewPage metrics={metrics} place={place} theme={theme} />;
    case "metrics":
      return metric ? <MetricPage metric={metric} metrics={metrics} place={place} theme={theme} may={may} /> : <p class="empty">{id}</p>;
    case "agents":
      return <AgentsPage metrics={metrics} place={place} />;
    case "phrases":
      return <PhrasesPage metrics={metrics} place={place} theme={theme} />;
    case "complaints":
      return <ComplaintsPage metrics={metrics} place={place} theme={theme} may={may} />;
    case "library":
      return <LibraryPage metrics={metrics} place={place} may={may} />;
    case "health":
      return <HealthPage place={place} />;
    case "search":
      return <SearchPage place={place} />;
    case "incidents":
      return may("incidents") ? <IncidentsPage place={place} id={id} /> : <p class="empty">{t("no_right")}</p>;
    case "conversations":
      if (!may("transcripts")) return <p class="empty">{t("no_right")}</p>;
      return id === undefined ? <ConversationsPage metrics={metrics} place={place} /> : <ConversationPage key={id} id={id} place={place} />;
    default:
      return <WallPage metrics={metrics} may={may} />;
  }
}

function Console(props: { welcome: Welcome; left: () => void; theme: Theme; setTheme: (theme: Theme) => void; setLang: (language: Language) => void }) {
  const { welcome, theme } = props;
  const place = usePlace();
  const may = (right: string) => welcome.permissions.includes(right);
  const metrics = useAnswer("metrics", async (signal) => (await get<{ metrics: Metric[] }>("/v1/metrics", signal)).metrics);
  knowMetrics(metrics.data ?? []);
  const here = PAGES.find((page) => (page.path === "/" ? place.path === "/" : place.path.startsWith(page.path)));
  const ofMetric = place.path.startsWith("/metrics/") ? decodeURIComponent(place.path.slice(9)) : undefined;
  const heading = ofMetric ? metricName(ofMetric) : place.path === "/search" ? t("search") : t(here?.word ?? "nav_wall");
  useEffect(() => {
    document.title = `${heading} · ${t("title")}`;
  });
  return (
    <div class="frame">
      <nav aria-label={t("title")}>
        <p class="brand">{t("title")}</p>
        <ul>
          {PAGES.filter((page) => may(page.right)).map((page) => (
            <li key={page.path}>
              <Link to={page.ranged ? keeping(page.path) : page.path} current={here === page}>
                {t(page.word)}
              </Link>
            </li>
          ))}
        </ul>
        <div class="settings">
          <button type="button" onClick={() => props.setLang(language() === "zh" ? "en" : "zh")}>
            {t("language")}
          </button>
          <button type="button" onClick={() => props.setTheme(theme === "dark" ? "light" : "dark")}>
            {t(theme === "dark" ? "theme_light" : "theme_dark")}
          </button>
          <button
            type="button"
            title={`${welcome.name} · ${welcome.tenant}`}
            onClick={async () => {
              await logOut().catch(() => undefined);
              props.left();
            }}
          >
            {t("log_out")}
          </button>
        </div>
      </nav>
      <main>
        <div class="head">
          <h1>{heading}</h1>
          <SearchField />
        </div>
        {(ofMetric || (here?.ranged && !/^\/conversations\/./.test(place.path))) && (
          <Filters place={place} metrics={metrics.data ?? []} compares={!["/conversations", "/health", "/library"].includes(here?.path ?? "")} narrows={here?.path !== "/health"} />
        )}
        <Shown of={metrics}>{(metrics) => <Page place={place} metrics={metrics} theme={theme} may={may} />}</Shown>
      </main>
    </div>
  );
}

function App() {
  const [welcome, setWelcome] = useState<Welcome | null>();
  const [theme, setTheme] = useState<Theme>(startTheme);
  const [lang, setLang] = useState<Language>(startLanguage);
  setLanguage(lang);
  document.documentElement.dataset.theme = theme;
  useEffect(() => {
    whenLoggedOut(() => setWelcome(null));
    whoAmI().then(setWelcome, () => setWelcome(null));
  }, []);
  if (welcome === undefined) return null;
  if (welcome === null) return <LogIn done={setWelcome} />;
  return (
    <Console
      welcome={welcome}
      left={() => setWelcome(null)}
      theme={theme}
      setTheme={(theme) => {
        keep("theme", theme);
        setTheme(theme);
      }}
      setLang={(language) => {
        keep("lang", language);
        setLang(language);
      }}
    />
  );
}

const root = document.getElementById("app");
if (root) render(<App />, root);
