namespace Proxy.Tests.Harness;

/// <summary>
/// How long a test waits for an expected event. The limit is reached only if something is broken, so it is long: a loaded machine must not fail a test.
/// </summary>
internal static class Patience
{
    public static readonly TimeSpan Long = TimeSpan.FromSeconds(30);

    /// <summary>Waits for <paramref name="task"/>; the exception after the limit says what was expected.</summary>
    public static async Task<T> For<T>(Task<T> task, string what)
    {
        await For((Task)task, what);
        return await task;
    }

    /// <inheritdoc cref="For{T}"/>
    public static async Task For(Task task, string what, TimeSpan? within = null)
    {
        try
        {
            await task.WaitAsync(within ?? Long);
        }
        catch (TimeoutException) when (!task.IsCompleted)
        {
            throw new TimeoutException($"waited {(within ?? Long).TotalSeconds:0} s in vain for {what}");
        }
    }

    /// <summary>Polls a condition that no event announces (the health of a backend, a file).</summary>
    public static async Task Until(Func<Task<bool>> condition, string what)
    {
        using var patience = new CancellationTokenSource(Long);
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (!await condition())
        {
            try
            {
                await pace.WaitForNextTickAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"waited {Long.TotalSeconds:0} s in vain until {what}");
            }
        }
    }
}
