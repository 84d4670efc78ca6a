import { definePipeline, defineStep, type StepContext } from "millrace";
import { z } from "zod";
import { ClimateNormals, cities } from "./climate-normals.ts";

const month = z.int().min(1).max(12);

const weather = z.object({
  city: z.string(),
  country: z.string(),
  month,
  highCelsius: z.number(),
  lowCelsius: z.number(),
  rainMillimetres: z.number(),
  source: z.string(),
});

interface State {
  readonly normals: ClimateNormals;
}

const fetchWeather = defineStep({
  name: "fetch_weather",
  description: "Looks up what the weather of a month usually is.",
  input: z.object({ city: z.string(), month }),
  output: weather,
  run: ({ city, month }, { state, log }: StepContext<State>) => {
    const normal = state.normals.of(city, month);
    log.debug("found the climate normals", { city: normal.city, station: normal.source });
    return normal;
  },
});

const compareWithYear = defineStep({
  name: "compare_with_year",
  description: "Says how the month compares with the city's whole year.",
  input: z.object({ city: z.string(), month }),
  output: z.object({ warmerThanYear: z.number(), wetterThanYear: z.number() }),
  run: ({ city, month }, { state }: StepContext<State>) => {
    const year = state.normals.meanOfYear(city);
    const normal = state.normals.of(city, month);
    const round = (value: number) => Math.round(value * 10) / 10;
    return {
      warmerThanYear: round((normal.highCelsius + normal.lowCelsius) / 2 - year.celsius),
      wetterThanYear: round(normal.rainMillimetres - year.rainMillimetres),
    };
  },
});

const advise = defineStep({
  name: "advise",
  description: "Turns the numbers into a sentence for a traveller.",
  input: z.object({ weather, warmerThanYear: z.number() }),
  output: z.string(),
  run: ({ weather, warmerThanYear }) => {
    const clothes =
      weather.highCelsius >= 25
        ? "light clothes"
        : weather.highCelsius >= 15
          ? "a jacket"
          : "a warm coat";
    const umbrella = weather.rainMillimetres >= 60 ? " and an umbrella" : "";
    const season =
      warmerThanYear >= 3 ? "warm season" : warmerThanYear <= -3 ? "cold season" : "mild season";
    return `${weather.city} is in its ${season}: ${weather.lowCelsius} to ${weather.highCelsius} °C. Bring ${clothes}${umbrella}.`;
  },
});

export default definePipeline({
  name: "weather",
  description: "What the weather of a city usually is in a month, from published climate normals.",
  input: z.object({
    city: z.enum(cities).default("Paris").describe("Name of the city"),
    month: month.default(7).describe("Month of the year, 1 to 12"),
  }),
  onInit: () => ({ normals: ClimateNormals.load() }),
  build: ({ city, month }) => {
    const weather = fetchWeather({ city, month });
    const comparison = compareWithYear({ city, month });
    const advice = advise({ weather, warmerThanYear: comparison.warmerThanYear });
    return { weather, comparison, advice };
  },
});
