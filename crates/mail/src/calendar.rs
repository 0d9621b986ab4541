//! The Gregorian calendar, as far as dates in header fields need it: days in, years, months and days out.

/// Names of the months as RFC 5322 section 3.3 writes them.
pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The last second of the year 9999: RFC 5322 would take more digits, readers do not.
pub(crate) const TIME_S_MAX: u64 = 253_402_300_799;

/// Year, month from zero and day from one, of a number of days since 1 January 1970 in the Gregorian calendar.
pub(crate) fn civil_from_days(days: u64) -> (u64, usize, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // Years are counted from 1 March, so that the leap day is the last of its year; day 0 is 1 March of the year 0.
    let days = days + 719_468;
    let (era, day_of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have lengths 31 30 31 30 31, again and again: 153 days for five of them.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    (year, month as usize, day)
}
