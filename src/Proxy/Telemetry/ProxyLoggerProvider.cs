using System.Text;
using Microsoft.Extensions.Logging;

namespace Proxy.Telemetry;

/// <summary>Sends the messages of <see cref="ILogger"/> to the same writer, in the same format, as the call lines.</summary>
internal sealed class ProxyLoggerProvider(LogWriter writer, LogFormat format, TimeProvider time) : ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    public void Dispose() { }

    private sealed class Logger(ProxyLoggerProvider owner, string category) : ILogger
    {
        // The framework's own messages are of use to its developers only, except warnings and errors.
        private readonly LogLevel own = category.StartsWith("Microsoft.", StringComparison.Ordinal) ? LogLevel.Warning : LogLevel.Trace;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= owner.Least && logLevel >= own;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel)) Write(logLevel, eventId, formatter(state, exception), state as IReadOnlyList<KeyValuePair<string, object?>>, exception);
        }

        /// <summary>Is not generic, because the program has a copy of a generic method for each kind of message.</summary>
        private void Write(LogLevel level, EventId id, string message, IReadOnlyList<KeyValuePair<string, object?>>? values, Exception? exception)
        {
            var line = LogLine.Begin(owner.Format, owner.Time.GetUtcNow(), level, Encoding.UTF8.GetBytes($" {Snake(id.Name ?? category)}"))
                .Add(" message="u8, message);
            foreach (var (key, value) in values ?? [])
            {
                if (key != "{OriginalFormat}") line.Add(Encoding.UTF8.GetBytes($" {Snake(key)}="), value?.ToString());
            }

            line.Add(" exception="u8, exception?.ToString()).End(owner.Writer);
        }

        /// <summary>Turns <c>WentDown</c> into <c>went_down</c>.</summary>
        private static string Snake(string name)
        {
            if (!name.Any(char.IsUpper) || name.Contains('.')) return name;
            return string.Concat(name.Select((c, at) => char.IsUpper(c) ? (at > 0 ? "_" : "") + char.ToLowerInvariant(c) : c.ToString()));
        }
    }

    private LogWriter Writer => writer;
    private LogFormat Format => format;
    private LogLevel Least => writer.Least;
    private TimeProvider Time => time;
}
