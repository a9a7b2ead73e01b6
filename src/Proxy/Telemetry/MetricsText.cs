using System.Globalization;
using System.Text;

namespace Proxy.Telemetry;

/// <summary>Writes Prometheus' exposition format 0.0.4.</summary>
internal sealed class MetricsText
{
    private readonly StringBuilder text = new(4096);

    public static string Escape(string label) =>
        label.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);

    public override string ToString() => text.ToString();

    /// <param name="name">The metric's name. Its lines follow, and no others of that name come later.</param>
    /// <param name="kind">counter, gauge or histogram.</param>
    /// <param name="help">What it counts, in one line.</param>
    public void Head(string name, string kind, string help) =>
        text.Append("# HELP ").Append(name).Append(' ').Append(help).Append("\n# TYPE ").Append(name).Append(' ').Append(kind).Append('\n');

    /// <param name="name">The metric's name.</param>
    /// <param name="labels">As they are written, without braces; empty: none.</param>
    /// <param name="value">The value.</param>
    public void Line(string name, string labels, double value)
    {
        text.Append(name);
        if (labels.Length > 0) text.Append('{').Append(labels).Append('}');
        text.Append(' ').Append(value.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }

    public void Write(string name, string labels, Histogram histogram)
    {
        var before = labels.Length == 0 ? "" : labels + ",";
        var total = 0L;
        for (var i = 0; i < histogram.Bounds.Length; i++)
        {
            total += histogram.Bucket(i);
            Line(name + "_bucket", $"{before}le=\"{histogram.Bounds[i].ToString(CultureInfo.InvariantCulture)}\"", total);
        }

        total += histogram.Bucket(histogram.Bounds.Length);
        Line(name + "_bucket", $"{before}le=\"+Inf\"", total);
        Line(name + "_sum", labels, histogram.Sum);
        Line(name + "_count", labels, total);
    }
}
