import { language, t } from "./words";

export interface Spoke {
  name: string;
  /** 0 to 100; undefined was not measured. */
  score?: number;
}

const SIZE = 320;
const MIDDLE = SIZE / 2;
const RADIUS = 100;

/** Dimensions of service quality around a middle of 0; what was not measured has no point and says so. */
export function Radar(props: { spokes: Spoke[]; beside?: Spoke[] | undefined; name: string }) {
  const { spokes } = props;
  const angle = (n: number) => (n / spokes.length) * 2 * Math.PI - Math.PI / 2;
  const at = (n: number, score: number, radius = RADIUS) => {
    const r = (score / 100) * radius;
    return [MIDDLE + r * Math.cos(angle(n)), MIDDLE + r * Math.sin(angle(n))] as const;
  };
  const points = (of: Spoke[]) => of.map((spoke, n) => (spoke.score === undefined ? undefined : at(n, spoke.score).map((x) => x.toFixed(1)).join(" ")));
  // Between neighbours that were both measured, and never across one that was not.
  const sides = (of: Spoke[]) => {
    const all = points(of);
    return all.map((point, n) => [point, all[(n + 1) % all.length]] as const).filter(([one, other]) => one !== undefined && other !== undefined);
  };
  const area = (of: Spoke[]) => sides(of).map(([one, other]) => `M${MIDDLE} ${MIDDLE}L${one}L${other}Z`).join("");
  const outline = (of: Spoke[]) => sides(of).map(([one, other]) => `M${one}L${other}`).join("");
  const told = spokes.map((spoke) => `${spoke.name} ${spoke.score === undefined ? t("not_measured") : spoke.score.toFixed(0)}`).join(language() === "zh" ? "，" : ", ");
  return (
    <svg class="radar" viewBox={`-70 0 ${SIZE + 140} ${SIZE}`} role="img" aria-label={`${props.name}: ${told}`}>
      {[25, 50, 75, 100].map((ring) => (
        <polygon key={ring} class="ring" points={spokes.map((_, n) => at(n, ring).map((x) => x.toFixed(1)).join(",")).join(" ")} />
      ))}
      {spokes.map((spoke, n) => {
        const [x, y] = at(n, 100);
        const [tx, ty] = at(n, 100, RADIUS + 18);
        const side = Math.cos(angle(n));
        return (
          <g key={spoke.name} class={spoke.score === undefined ? "unmeasured" : ""}>
            <line x1={MIDDLE} y1={MIDDLE} x2={x} y2={y} />
            <text x={tx} y={ty} text-anchor={side > 0.2 ? "start" : side < -0.2 ? "end" : "middle"}>
              {spoke.name}
            </text>
            <text x={tx} y={ty + 14} class="score" text-anchor={side > 0.2 ? "start" : side < -0.2 ? "end" : "middle"}>
              {spoke.score === undefined ? t("not_measured") : spoke.score.toFixed(0)}
            </text>
          </g>
        );
      })}
      {props.beside && <path class="beside" d={outline(props.beside)} />}
      <path class="area" d={area(spokes)} />
      <path class="shape" d={outline(spokes)} />
      {spokes.map((spoke, n) => {
        if (spoke.score === undefined) return null;
        const [x, y] = at(n, spoke.score);
        return <circle key={spoke.name} cx={x} cy={y} r="3.5" />;
      })}
    </svg>
  );
}
