// The questions of the pages about metrics.

import { type Bin, type Comparison, type Figure, type Metric, type Observation, type Point, post, type Rank } from "../api";
import { type Answer, useAnswer } from "../answer";
import { BASELINES, baselineOf, bucketOf, type Place, rangeOf, scopeOf } from "../place";

/** Figures are asked for again this often; the live wall more often. */
const REFRESH = 30_000;

function useFigure<T>(metric: Metric, verb: string, place: Place, more: Record<string, unknown> = {}): Answer<T> {
  const question = `${metric.id} ${verb} ${place.search} ${JSON.stringify(more)}`;
  return useAnswer<T>(question, (signal) => post<T>(`/v1/metrics/${metric.id}:${verb}`, { ...scopeOf(place, metric.dimensions), ...more }, signal), REFRESH);
}

/** The same against the period that was chosen to compare with, by default the one right before. */
export function useComparison(metric: Metric, place: Place): Answer<Comparison> {
  const shift = BASELINES[baselineOf(place)];
  const question = `${metric.id} compare ${place.search}`;
  const ask = (signal: AbortSignal) => {
    const scope = scopeOf(place, metric.dimensions);
    const back = (time: string) => new Date(new Date(time).getTime() - shift * 1000).toISOString();
    const baseline = shift === 0 ? {} : { baseline_from: back(scope.from), baseline_to: back(scope.to) };
    return post<Comparison>(`/v1/metrics/${metric.id}:compare`, { ...scope, ...baseline }, signal);
  };
  return useAnswer<Comparison>(question, ask, REFRESH);
}

export const useSeries = (metric: Metric, place: Place) => useFigure<{ points: Point[] }>(metric, "query", place, { bucket_seconds: String(bucketOf(rangeOf(place))) });

export const useRank = (metric: Metric, place: Place, by: string) => useFigure<{ all: Figure; ranks: Rank[] }>(metric, "rank", place, { by });

export const useDistribution = (metric: Metric, place: Place) => useFigure<{ figure: Figure; bins: Bin[] }>(metric, "distribution", place);

export const useObservations = (metric: Metric, place: Place, order: string) => {
  const customer = place.search.get("customer");
  return useFigure<{ observations: Observation[] }>(metric, "observations", place, { order, limit: 50, ...(customer === null ? {} : { customer }) });
};
