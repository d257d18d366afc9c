"""Forecast of a run before its first step: disk, memory and time, from the costs that the steps declare."""

from spherovem_core.forecast.forecast import Forecast, ForecastRow, forecast_steps, steps_to_compute
from spherovem_core.forecast.rates import Rates, known_rates

__all__ = ["Forecast", "ForecastRow", "Rates", "forecast_steps", "known_rates", "steps_to_compute"]
