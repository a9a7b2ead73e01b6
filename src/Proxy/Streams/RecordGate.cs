using Proxy.Chat;
using Proxy.Telemetry;

namespace Proxy.Streams;

/// <summary>
/// Writes the record of one generation. A complete answer ends only when its record is durable. If the record cannot be written, the answer ends well all the
/// same, unless <see cref="FollowedCall.NeedsRecord"/>. Every other end is recorded without a wait.
/// </summary>
/// <param name="call">The call.</param>
/// <param name="writer">Takes the record.</param>
/// <param name="content">The texts to be kept; null: none.</param>
/// <param name="time">Measures the call.</param>
internal sealed class RecordGate(FollowedCall call, IRecordWriter writer, ContentTap? content, TimeProvider time) : IEndGate
{
    private bool isRecorded;

    public async ValueTask<ProxyError?> BeforeEndAsync(GenerationEnd end, CancellationToken cancellation)
    {
        isRecorded = true;
        using var span = call.Info.Span.Begin("commit");
        try
        {
            await writer.WriteAsync([Row("ok", end), .. call.Rows], cancellation).ConfigureAwait(false);
            return null;
        }
        catch (StoreException)
        {
            span.Fail("store_failed");
            return call.NeedsRecord ? new(ProxyErrorKind.StoreFailed, "the answer is complete, but its record cannot be written") : null;
        }
    }

    public void Ended(GenerationEnd end)
    {
        if (isRecorded) return;
        writer.Post(Row(end.Kind switch
        {
            EndKind.ClientLeft when end.Interrupted => "incomplete",
            EndKind.ClientLeft => "client_left",
            _ => "failed",
        }, end));
    }

    private ExchangeRow Row(string status, GenerationEnd end)
    {
        var (record, info) = (call.Record, call.Info);
        var duration = time.GetElapsedTime(record.Started);
        return new()
        {
            TraceId = info.TraceId,
            CorrelationId = info.CorrelationId,
            Session = info.Session,
            Owner = info.Owner,
            RequestId = call.Routed.Call.RequestId,
            Surface = record.Surface,
            Model = record.Model ?? call.Routed.Model,
            Route = record.Route ?? "",
            Workspace = call.Routed.Workspace,
            Pipeline = call.Routed.Pipeline,
            Winner = end.Winner ?? record.Served,
            Backend = record.Backend,
            Status = status,
            InputTokens = end.Usage?.InputTokens,
            OutputTokens = end.Usage?.OutputTokens,
            Started = time.GetUtcNow() - duration,
            FirstTokenMs = record.FirstToken == 0 ? null : time.GetElapsedTime(record.Started, record.FirstToken).TotalMilliseconds,
            DurationMs = duration.TotalMilliseconds,
            Request = content?.Request,
            Answer = content?.TakeAnswer(),
        };
    }
}
