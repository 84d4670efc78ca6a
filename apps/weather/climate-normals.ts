import { z } from "zod";
import stations from "./normals.json" with { type: "json" };

const twelve = z.array(z.number()).length(12);
const stationSchema = z.object({
  city: z.string(),
  country: z.string(),
  station: z.string(),
  period: z.string(),
  source: z.string(),
  highCelsius: twelve,
  lowCelsius: twelve,
  rainMillimetres: twelve,
});
type Station = z.output<typeof stationSchema>;

/** The cities that normals are known for. */
export const cities = stations.map(({ city }) => city);

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Monthly climate normals by city: means over a period of thirty years, as the weather services publish them. */
export class ClimateNormals {
  readonly #stations: ReadonlyMap<string, Station>;

  constructor(stations: readonly Station[]) {
    this.#stations = new Map(stations.map((station) => [station.city, station]));
  }

  static load(): ClimateNormals {
    return new ClimateNormals(z.array(stationSchema).parse(stations));
  }

  of(city: string, month: number) {
    const station = this.#station(city);
    const at = (values: readonly number[]): number => values[month - 1] ?? Number.NaN;
    return {
      city: station.city,
      country: station.country,
      month,
      highCelsius: at(station.highCelsius),
      lowCelsius: at(station.lowCelsius),
      rainMillimetres: at(station.rainMillimetres),
      source: `${station.source}, ${station.station}, ${station.period}`,
    };
  }

  meanOfYear(city: string): { readonly celsius: number; readonly rainMillimetres: number } {
    const { highCelsius, lowCelsius, rainMillimetres } = this.#station(city);
    return {
      celsius: (mean(highCelsius) + mean(lowCelsius)) / 2,
      rainMillimetres: mean(rainMillimetres),
    };
  }

  #station(city: string): Station {
    const station = this.#stations.get(city);
    if (station !== undefined) return station;
    throw new Error(`No climate normals are known for ${JSON.stringify(city)}.`);
  }
}
