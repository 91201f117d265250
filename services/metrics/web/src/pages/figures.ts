// The questions of the pages about metrics.

import { type Bin, type Comparison, type Figure, type Metric, type Observation, type Point, post, type Rank } from "../api";
import { type Answer, useAnswer } from "../answer";
import { bucketOf, type Place, rangeOf, scopeOf } from "../place";

/** Figures are asked for again this often; the live wall more often. */
const REFRESH = 30_000;

function useFigure<T>(metric: Metric, verb: string, place: Place, more: Record<string, unknown> = {}): Answer<T> {
  const question = `${metric.id} ${verb} ${place.search} ${JSON.stringify(more)}`;
  return useAnswer<T>(question, (signal) => post<T>(`/v1/metrics/${metric.id}:${verb}`, { ...scopeOf(place, metric.dimensions), ...more }, signal), REFRESH);
}

export const useComparison = (metric: Metric, place: Place) => useFigure<Comparison>(metric, "compare", place);

export const useSeries = (metric: Metric, place: Place) => useFigure<{ points: Point[] }>(metric, "query", place, { bucket_seconds: String(bucketOf(rangeOf(place))) });

export const useRank = (metric: Metric, place: Place, by: string) => useFigure<{ all: Figure; ranks: Rank[] }>(metric, "rank", place, { by });

export const useDistribution = (metric: Metric, place: Place) => useFigure<{ figure: Figure; bins: Bin[] }>(metric, "distribution", place);

export const useObservations = (metric: Metric, place: Place, order: string) => useFigure<{ observations: Observation[] }>(metric, "observations", place, { order, limit: 50 });
